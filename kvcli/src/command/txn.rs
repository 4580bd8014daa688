//! `txn`: tests, and two lists of commands of which one runs.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Answer, Ask, Pending as AnyPending, Place, Prepared,
    confirm::Doubt,
    mismatch,
    record::{insert_header, insert_replayed, is_durable, not_repeated},
};
use crate::{
    args::CallFlags,
    block::{Block, parse},
    failure::{Exit, Failure},
    output::{self, Rows},
    script::Grammar,
};

const HEADER: &[&str] = &["succeeded", "revision", "durable"];

/// More text than the largest transaction can have.
const MAX_TEXT: u64 = 80 * 1024 * 1024;

pub(super) const LONG_ABOUT: &str = r#"Tests, then runs one of two lists of commands, all or nothing.

The text of the transaction is read from standard input or --file, one item a
line, with the fields of a script ('literal' and "escaped", # comments):

  if KEY value = 10             also version, mod, create, lease; = != > <
  if KEY exists                 or absent
  if --prefix P version > 0     of a range: must hold for every key in it
                                (--start, --end, --all; -- before a KEY with --)
  then
  set KEY 5                     run if all tests hold
  incr OTHER --by 5
  else                          may be left out
  get KEY                       run if one does not
  end

An absent key has 0 for every number and fails a test of its value. Between
then, else and end stand get, mget, ttl, set, del, incr, expire, scan and rm,
without conditions and options of their own, and transactions inside this one,
from a line txn to a line end. In a script the whole begins with a line txn,
which may carry flags such as --durability.

Each command's result is printed in its order; exit 1 if a test did not hold.

  kvcli txn <<'END'
  if balance/anna value = 10
  then
  set balance/anna 5
  incr balance/bert --by 5
  else
  mget balance/anna balance/bert
  END"#;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read the transaction from a file
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
}

/// One step of a transaction, until its result is there.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    pending: AnyPending,
}

impl Step {
    pub(crate) fn new(name: &'static str, pending: AnyPending) -> Self {
        Self { name, pending }
    }

    pub(crate) fn nested(success: Vec<Self>, failure: Vec<Self>) -> Self {
        let pending = AnyPending::Txn(Pending { success, failure });
        Self::new("txn", pending)
    }
}

#[derive(Debug)]
pub(crate) struct Pending {
    success: Vec<Step>,
    failure: Vec<Step>,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags, place: Place) -> Result<Prepared, Failure> {
        let text = match &self.file {
            Some(path) => File::open(path).and_then(read_text).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?,
            None if place == Place::CommandLine => read_text(io::stdin().lock())
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?,
            None => return Err(Failure::usage("here is no place for a transaction")),
        };
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(&text)
            .split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        let lines: Vec<(u64, Vec<u8>)> = (1..).zip(lines).collect();
        let block = parse(&lines, None, &mut Grammar::new())?;
        let mut prepared = prepare(block, flags);
        if place == Place::Prompt {
            prepared.confirm = Some(Doubt::Transaction);
        }
        Ok(prepared)
    }
}

/// A transaction that was read, with the flags of the whole.
pub(crate) fn prepare(block: Block, flags: &CallFlags) -> Prepared {
    let request = v1::TxnRequest {
        options: flags.write_options(),
        ..block.request
    };
    let pending = Pending {
        success: block.success,
        failure: block.failure,
    };
    Prepared::new(Ask::Txn(request), AnyPending::Txn(pending))
}

fn read_text(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_TEXT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_TEXT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

impl Pending {
    pub(super) fn read(self, reply: v1::TxnResponse) -> Result<Report, Failure> {
        let header = reply.header.as_ref();
        let steps = if reply.succeeded {
            self.success
        } else {
            self.failure
        };
        if !reply.replayed && steps.len() != reply.responses.len() {
            return Err(mismatch());
        }
        let mut responses = reply.responses.into_iter();
        let read = |step: Step| {
            let response = responses.next().and_then(|response| response.result);
            let is_read = matches!(
                step.pending,
                AnyPending::Get(_) | AnyPending::Ttl(_) | AnyPending::Scan(_)
            );
            if reply.replayed && (is_read || response.is_none()) {
                return Ok((step.name, None));
            }
            let answer = Answer::from_step(response, header, reply.replayed)?;
            Ok((step.name, Some(step.pending.read(answer)?)))
        };
        let steps = steps
            .into_iter()
            .map(read)
            .collect::<Result<_, Failure>>()?;
        Ok(Report {
            succeeded: reply.succeeded,
            revision: reply.revision,
            replayed: reply.replayed,
            header: reply.header,
            steps,
        })
    }
}

pub(super) struct Report {
    succeeded: bool,
    revision: i64,
    replayed: bool,
    header: Option<v1::ResponseHeader>,
    /// The steps that ran. Without a report where an earlier attempt ran them
    /// and what they read is not repeated.
    steps: Vec<(&'static str, Option<Box<dyn output::Report>>)>,
}

impl Report {
    fn reports(&self) -> impl Iterator<Item = &dyn output::Report> {
        self.steps
            .iter()
            .filter_map(|(_, report)| report.as_deref())
    }
}

impl output::Report for Report {
    /// What each step prints. A key whose value is not repeated has its line.
    fn raw(&self, out: &mut Vec<u8>) {
        for (name, report) in &self.steps {
            match report {
                Some(report) => report.raw(out),
                None if matches!(*name, "get" | "ttl") => out.push(b'\n'),
                None => {}
            }
        }
    }

    fn object(&self) -> Map<String, Value> {
        let result = |(name, report): &(&'static str, Option<Box<dyn output::Report>>)| {
            let mut object = Map::new();
            object.insert("command".into(), (*name).into());
            match report {
                Some(report) => object.extend(report.object()),
                None => insert_replayed(&mut object, true),
            }
            Value::from(object)
        };
        let mut object = Map::new();
        object.insert("succeeded".into(), self.succeeded.into());
        object.insert("revision".into(), self.revision.into());
        let results: Vec<Value> = self.steps.iter().map(result).collect();
        object.insert("results".into(), results.into());
        insert_replayed(&mut object, self.replayed);
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let row = vec![
            self.succeeded.to_string(),
            self.revision.to_string(),
            is_durable(self.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    fn tables(&self) -> Vec<Rows> {
        let mut tables = vec![self.rows()];
        tables.extend(self.reports().flat_map(output::Report::tables));
        tables
    }

    fn exit(&self) -> Exit {
        if self.succeeded {
            Exit::Success
        } else {
            Exit::Negative
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.reports().flat_map(output::Report::problems).collect();
        if !self.succeeded && self.steps.is_empty() {
            problems.push("nothing was done: a test did not hold".to_owned());
        }
        if self.steps.iter().any(|(_, report)| report.is_none()) {
            problems.push(not_repeated("txn"));
        }
        problems
    }
}
