//! From a line's bytes to a command ready to be sent, through the same clap
//! types that read the command line.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::{CommandFactory as _, FromArgMatches as _};

use super::parse::{fields, is_idle};
use crate::{
    args::{CallFlags, Line, one_line},
    command::Prepared,
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
        let fields = fields.into_iter().map(OsString::from_vec);
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

#[cfg(test)]
mod tests {
    use kvproto::v1::{self, condition::Test};

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
