//! From a line's bytes to a command ready to be sent, through the same clap
//! types that read the command line.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use clap::{CommandFactory as _, FromArgMatches as _};

use super::parse::{fields, is_idle};
use crate::{
    args::{CallFlags, Line, one_line},
    command::{Command, Prepared, del, get, set},
    failure::Failure,
};

/// Compiles lines. Building clap's tables costs more than using them, so they
/// are kept.
pub(super) struct Compiler {
    grammar: clap::Command,
    flags: CallFlags,
}

impl Compiler {
    pub(super) fn new(flags: CallFlags) -> Self {
        Self {
            grammar: Line::command(),
            flags,
        }
    }

    /// None for a line without a command.
    pub(super) fn compile(&mut self, line: &[u8]) -> Result<Option<Prepared>, Failure> {
        if is_idle(line) {
            return Ok(None);
        }
        let fields = fields(line).map_err(|error| Failure::Usage(error.to_string()))?;
        let fields = fields.into_iter().map(OsString::from_vec).collect();
        let fields = match plain(fields) {
            Ok(command) => return command.prepare(self.flags, true).map(Some),
            Err(fields) => fields,
        };
        let line = self
            .grammar
            .try_get_matches_from_mut(fields)
            .and_then(|mut matches| Line::from_arg_matches_mut(&mut matches))
            .map_err(|error| Failure::Usage(one_line(&error)))?;
        if line.command.wants_exact_bytes() {
            return Err(Failure::usage(
                "--no-newline: a script prints a line per command",
            ));
        }
        line.command
            .prepare(line.call.or(self.flags), true)
            .map(Some)
    }
}

/// The commands that scripts are made of, recognised without clap when no field
/// could be a flag. Clap costs more than everything else that happens to such a
/// line; a test holds both ways to the same requests. Gives the fields back if
/// the line is anything else.
fn plain(fields: Vec<OsString>) -> Result<Command, Vec<OsString>> {
    if fields
        .iter()
        .any(|field| field.as_bytes().starts_with(b"-"))
    {
        return Err(fields);
    }
    match (fields.first().map(|name| name.as_bytes()), fields.len()) {
        (Some(b"get"), 2) => {
            let [_, key] = take(fields)?;
            Ok(Command::Get(get::Args::plain(key)))
        }
        (Some(b"set"), 3) => {
            let [_, key, value] = take(fields)?;
            Ok(Command::Set(set::Args::plain(key, value)))
        }
        (Some(b"del"), 2) => {
            let [_, key] = take(fields)?;
            Ok(Command::Del(del::Args::plain(key)))
        }
        _ => Err(fields),
    }
}

fn take<const N: usize>(fields: Vec<OsString>) -> Result<[OsString; N], Vec<OsString>> {
    fields.try_into()
}

#[cfg(test)]
mod tests {
    use kvproto::v1::{self, condition::Test};

    use clap::Parser as _;

    use super::*;
    use crate::{args::Durability, command::Ask};

    fn ask(line: &[u8]) -> Ask {
        let flags = CallFlags {
            durability: Some(Durability::Logged),
            read_level: None,
        };
        let compiled = Compiler::new(flags).compile(line);
        let prepared = compiled.unwrap_or_else(|e| panic!("{}: {e}", line.escape_ascii()));
        prepared.expect("a command").ask
    }

    fn set(line: &[u8]) -> v1::SetRequest {
        match ask(line) {
            Ask::Set(request) => request,
            other => panic!("{}: {other:?}", line.escape_ascii()),
        }
    }

    #[test]
    fn values_may_look_like_anything() {
        let table: [(&[u8], &[u8], &[u8]); 10] = [
            (b"set Aaron's 12", b"Aaron's", b"12"),
            (b"set k -5", b"k", b"-5"),
            (b"set k --help", b"k", b"--help"),
            (b"set k -h", b"k", b"-h"),
            (b"set k -", b"k", b"-"),
            (b"set k --no-such-flag", b"k", b"--no-such-flag"),
            (b"set -- -k --if-absent", b"-k", b"--if-absent"),
            (b"set k ''", b"k", b""),
            (b"set k \"\\x00\\xff\"", b"k", b"\0\xff"),
            (b"set \xfe \xff", b"\xfe", b"\xff"),
        ];
        for (line, key, value) in table {
            let request = set(line);
            assert_eq!(
                (&*request.key, &*request.value),
                (key, value),
                "{}",
                line.escape_ascii()
            );
            assert_eq!(request.condition, None);
        }
    }

    #[test]
    fn flags_work_on_a_line() {
        let test = |line: &[u8]| set(line).condition.and_then(|condition| condition.test);
        assert_eq!(test(b"set k v --if-absent"), Some(Test::Exists(false)));
        assert_eq!(test(b"set --if-present k v"), Some(Test::Exists(true)));
        assert_eq!(test(b"set k v --if-revision 7"), Some(Test::ModRevision(7)));
        let durability = |line: &[u8]| set(line).options.expect("options").durability();
        assert_eq!(durability(b"set k v"), v1::Durability::Logged);
        assert_eq!(
            durability(b"set k v --durability none"),
            v1::Durability::None
        );
        assert_eq!(
            durability(b"--durability synced set k v"),
            v1::Durability::Synced
        );
    }

    #[test]
    fn several_keys_go_in_one_request() {
        let Ask::BatchGet(request) = ask(b"mget a 'b c' a") else {
            panic!("not a BatchGet")
        };
        assert_eq!(request.keys, ["a", "b c", "a"]);
        assert!(matches!(ask(b"del a"), Ask::Delete(_)));
        let Ask::BatchWrite(request) = ask(b"del a b") else {
            panic!("not a BatchWrite")
        };
        assert_eq!(request.operations.len(), 2);
        assert!(request.options.is_some());
    }

    #[test]
    fn the_short_way_is_the_same_way() {
        let table: [&[u8]; 8] = [
            b"get a",
            b"get ''",
            b"get \"\\xff\"",
            b"set a 1",
            b"set Aaron's ''",
            b"set \xff \xfe",
            b"del a",
            b"del 'a b'",
        ];
        let flags = CallFlags {
            durability: Some(Durability::None),
            read_level: None,
        };
        for line in table {
            let fields: Vec<OsString> = fields(line)
                .expect("good")
                .into_iter()
                .map(OsString::from_vec)
                .collect();
            let long = Line::try_parse_from(fields.clone()).expect("good").command;
            let short = plain(fields).expect("plain");
            let ask = |command: Command| command.prepare(flags, true).expect("good").ask;
            assert_eq!(ask(short), ask(long), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        let table: [(&[u8], &str); 14] = [
            (b"frob", "unrecognized subcommand 'frob'"),
            (b"GET a", "unrecognized subcommand 'GET'"),
            (b"help", "unrecognized subcommand 'help'"),
            (b"get", "<KEY>"),
            (b"get a b", "unexpected argument 'b'"),
            (b"get -a", "unexpected argument '-a'"),
            (b"set k", "required"),
            (b"set k v w", "unexpected argument 'w'"),
            (b"set k --stdin", "standard input is this script"),
            (b"set k v --file x", "cannot be used with"),
            (b"set k v --if-absent --if-present", "cannot be used with"),
            (b"set k v --if-revision -1", "-1"),
            (b"get a --no-newline", "a line per command"),
            (b"set k --file /no/such/file", "cannot read /no/such/file"),
        ];
        for (line, part) in table {
            let error = Compiler::new(CallFlags::default())
                .compile(line)
                .expect_err("a mistake");
            let text = error.to_string();
            assert!(
                text.contains(part) && !text.contains('\n'),
                "{}: {text}",
                line.escape_ascii()
            );
            assert_eq!(error.exit(), crate::failure::Exit::Usage);
        }
    }

    #[test]
    fn a_compiler_is_not_worn_out_by_use() {
        let mut compiler = Compiler::new(CallFlags::default());
        for round in 0..3 {
            assert!(compiler.compile(b"# comment").expect("idle").is_none());
            assert!(compiler.compile(b"set k v --if-absent").is_ok());
            assert!(compiler.compile(b"set k").is_err());
            let plain = compiler
                .compile(b"set k v")
                .expect("a command")
                .expect("a command");
            let Ask::Set(request) = plain.ask else {
                panic!("not a set")
            };
            assert_eq!(request.condition, None, "round {round}");
        }
    }
}
