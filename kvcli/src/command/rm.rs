//! `rm --prefix P`: removes the keys of a range.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
};

use kvproto::v1::{self, key_range};
use serde_json::{Map, Value};

use super::{
    Answer, Ask, Pending as AnyPending, Place, Prepared, RangeArgs,
    confirm::Doubt,
    mismatch, range,
    record::{insert_header, insert_replayed, is_durable},
};
use crate::{
    args::CallFlags,
    call::Caller,
    failure::{Exit, Failure},
    output::{self, Rows, number_line},
};

const HEADER: &[&str] = &[
    "deleted",
    "dry_run",
    "more",
    "first_revision",
    "last_revision",
    "durable",
];

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags, as clap reads them")]
#[command(override_usage = "kvcli rm [OPTIONS] (--prefix P | --start K --end K | --all)")]
pub(crate) struct Args {
    /// Keys that begin so
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    prefix: Option<OsString>,
    #[command(flatten)]
    range: RangeArgs,
    /// Every key there is
    #[arg(long, conflicts_with_all = ["prefix", "start", "end", "key"])]
    all: bool,
    /// Count the keys that would go and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// In several steps, each of them whole; for ranges that are too large for one
    #[arg(long)]
    chunked: bool,
    /// At most this many keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    dry_run: bool,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags, place: Place) -> Result<Prepared, Failure> {
        let range = match self.range.into_range(self.prefix)? {
            Some(range) => range,
            None if self.all => range::all(),
            None => {
                return Err(Failure::usage(
                    "rm needs a range: --prefix, --start, --end, --key or --all",
                ));
            }
        };
        let sure = self.yes || self.dry_run || place == Place::Transaction;
        let can_ask = match place {
            Place::CommandLine => io::stdin().is_terminal(),
            Place::Prompt => true,
            Place::Script { .. } | Place::Transaction => false,
        };
        if !sure && !can_ask {
            return Err(Failure::usage(
                "rm asks before it removes, and here is nobody to ask; say --yes or --dry-run",
            ));
        }
        let doubt = Doubt::Range {
            whole: matches!(range.range, Some(key_range::Range::All(_))),
        };
        let request = v1::DeleteRangeRequest {
            range: Some(range),
            atomic: self.chunked.then_some(false),
            dry_run: self.dry_run,
            limit: self.limit.unwrap_or_default(),
            options: flags.write_options(),
        };
        let pending = Pending {
            dry_run: self.dry_run,
        };
        let mut prepared = Prepared::new(Ask::DeleteRange(request), AnyPending::Rm(pending));
        prepared.confirm = (!sure).then_some(doubt);
        Ok(prepared)
    }
}

/// How many keys would go.
pub(super) async fn count(
    caller: &mut Caller,
    request: &v1::DeleteRangeRequest,
) -> Result<i64, Failure> {
    let dry = v1::DeleteRangeRequest {
        dry_run: true,
        options: None,
        ..request.clone()
    };
    let pending = AnyPending::Rm(Pending { dry_run: true });
    let answer = caller
        .call(&Prepared::new(Ask::DeleteRange(dry), pending))
        .await?;
    match answer {
        Answer::DeleteRange(reply) => Ok(reply.deleted),
        _ => Err(mismatch()),
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::DeleteRangeResponse) -> Report {
        Report {
            dry_run: self.dry_run,
            reply,
        }
    }
}

pub(super) struct Report {
    dry_run: bool,
    reply: v1::DeleteRangeResponse,
}

impl output::Report for Report {
    /// How many keys went, or would go.
    fn raw(&self, out: &mut Vec<u8>) {
        number_line(out, self.reply.deleted);
    }

    fn object(&self) -> Map<String, Value> {
        let reply = &self.reply;
        let mut object = Map::new();
        object.insert("deleted".into(), reply.deleted.into());
        object.insert("dry_run".into(), self.dry_run.into());
        object.insert("more".into(), reply.more.into());
        object.insert("first_revision".into(), reply.first_revision.into());
        object.insert("last_revision".into(), reply.last_revision.into());
        insert_replayed(&mut object, reply.replayed);
        insert_header(&mut object, reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let reply = &self.reply;
        let row = vec![
            reply.deleted.to_string(),
            self.dry_run.to_string(),
            reply.more.to_string(),
            reply.first_revision.to_string(),
            reply.last_revision.to_string(),
            is_durable(reply.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    /// A range without keys is a result.
    fn exit(&self) -> Exit {
        Exit::Success
    }
}

/// What a range lost inside a transaction, which has one revision for all.
pub(super) struct Step {
    deleted: i64,
}

impl Step {
    pub(super) fn new(result: v1::RangeDeleteResult) -> Self {
        Self {
            deleted: result.deleted,
        }
    }
}

impl output::Report for Step {
    fn raw(&self, out: &mut Vec<u8>) {
        number_line(out, self.deleted);
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("deleted".into(), self.deleted.into());
        object
    }

    fn rows(&self) -> Rows {
        Rows::one(&HEADER[..1], vec![self.deleted.to_string()])
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
