//! From a line's bytes to a command ready to be sent, through the same clap
//! types that read the command line.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use super::{
    grammar::Grammar,
    parse::{fields, is_idle},
};
use crate::{
    args::{CallFlags, Line, one_line},
    block::{BlockError, Collected, Collector, first_word, parse},
    command::{Command, Place, Prepared, confirm::Doubt, txn},
    failure::Failure,
};

/// Compiles lines, one command each but for transactions, which take several.
pub(crate) struct Compiler {
    grammar: Grammar,
    flags: CallFlags,
    place: Place,
    open: Option<Open>,
}

/// A transaction that has not ended yet.
struct Open {
    lines: Collector,
    flags: CallFlags,
}

impl Compiler {
    pub(crate) fn new(flags: CallFlags, place: Place) -> Self {
        Self {
            grammar: Grammar::new(),
            flags,
            place,
            open: None,
        }
    }

    /// From now on writes get no ids.
    pub(super) fn give_up_retry(&mut self) {
        self.place = Place::Script { retry: false };
    }

    /// What is wrong if nothing comes after the lines so far.
    pub(crate) fn at_end(&mut self) -> Option<Failure> {
        let open = self.open.take()?;
        let text = "this transaction is never closed with end";
        Some(BlockError::new(open.lines.opened, 1, text).into())
    }

    /// Whether the lines so far have opened a transaction.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// None for a line that asks for nothing yet.
    pub(crate) fn compile(
        &mut self,
        number: u64,
        line: &[u8],
    ) -> Result<Option<Prepared>, Failure> {
        if let Some(open) = &mut self.open {
            if !open.lines.push(number, line) {
                return Ok(None);
            }
            return match self.open.take() {
                Some(open) => self.transaction(open),
                None => Ok(None),
            };
        }
        if is_idle(line) {
            return Ok(None);
        }
        let read = self.read(line);
        match read {
            Ok(line) => self.command(number, line),
            Err(failure) => {
                if first_word(line).as_deref() == Some(b"txn") {
                    // Nothing of what follows may run as a line of its own.
                    self.open = Some(Open {
                        lines: Collector::passing_over(number),
                        flags: CallFlags::default(),
                    });
                }
                Err(failure)
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Line, Failure> {
        let fields = fields(line).map_err(|error| Failure::Usage(error.to_string()))?;
        let fields = fields
            .into_iter()
            .map(|field| OsString::from_vec(field.bytes));
        let line = self
            .grammar
            .read(fields.collect())
            .map_err(|error| Failure::Usage(one_line(&error)))?;
        if line.command.wants_exact_bytes() {
            return Err(Failure::usage(
                "--no-newline is for the command line: here a result ends with a newline",
            ));
        }
        Ok(line)
    }

    fn command(&mut self, number: u64, line: Line) -> Result<Option<Prepared>, Failure> {
        let place = self.place;
        if line.call == CallFlags::default() && !matches!(line.command, Command::Txn(_)) {
            return line.command.prepare(&self.flags, place).map(Some);
        }
        let flags = line.call.or(&self.flags);
        match line.command {
            Command::Txn(args) if args.file.is_none() => {
                let lines = Collector::new(number);
                self.open = Some(Open { lines, flags });
                Ok(None)
            }
            command => command.prepare(&flags, place).map(Some),
        }
    }

    fn transaction(&mut self, open: Open) -> Result<Option<Prepared>, Failure> {
        let opened = open.lines.opened;
        let lines = match open.lines.finish() {
            Collected::Lines(lines) => lines,
            Collected::PassedOver => return Ok(None),
            Collected::TooLong => {
                let error = BlockError::new(opened, 1, "this transaction is too long");
                return Err(error.into());
            }
        };
        let block = parse(&lines, Some(opened), &mut self.grammar)?;
        let mut prepared = txn::prepare(block, &open.flags);
        if self.place == Place::Prompt {
            prepared.confirm = Some(Doubt::Transaction);
        }
        prepared.identify(&open.flags, self.place)?;
        Ok(Some(prepared))
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
            ..CallFlags::default()
        };
        let compiled = Compiler::new(flags, Place::Script { retry: false }).compile(1, line);
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
            (b"get a --no-newline", "for the command line"),
            (b"set k --file /no/such/file", "cannot read /no/such/file"),
        ];
        for (line, part) in table {
            let error = Compiler::new(CallFlags::default(), Place::Script { retry: false })
                .compile(1, line)
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
        let mut compiler = Compiler::new(CallFlags::default(), Place::Script { retry: false });
        for round in 0..3 {
            assert!(compiler.compile(1, b"# comment").expect("idle").is_none());
            assert!(compiler.compile(1, b"set k v --if-absent").is_ok());
            assert!(compiler.compile(1, b"set k").is_err());
            let plain = compiler
                .compile(1, b"set k v")
                .expect("a command")
                .expect("a command");
            let Ask::Set(request) = plain.ask else {
                panic!("not a set")
            };
            assert_eq!(request.condition, None, "round {round}");
        }
    }
}
