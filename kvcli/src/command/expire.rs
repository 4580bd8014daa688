//! `expire KEY (DURATION | --at UNIX_MS | --persist)`.

use std::ffi::OsString;

use bytes::Bytes;
use clap::ArgGroup;
use kvproto::v1::{self, ExpireCondition, expire_request::Expiry};
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Prepared,
    record::{insert_header, insert_numbers, insert_replayed, is_durable},
};
use crate::{
    args::{CallFlags, bytes_of},
    failure::Exit,
    output::{self, Rows},
    settings::parse_ttl,
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &[
    "key",
    "found",
    "applied",
    "expires_at_ms",
    "revision",
    "durable",
];

#[derive(Debug, clap::Args)]
#[command(override_usage = "kvcli expire [OPTIONS] KEY (DURATION | --at UNIX_MS | --persist)")]
#[command(group = ArgGroup::new("when").required(true))]
pub(crate) struct Args {
    /// Key to change; after -- it may begin with a dash
    #[arg(value_name = "KEY")]
    key: OsString,
    /// The key ends after this long, as in 10s, 5m, 2h, 30d
    #[arg(value_name = "DURATION", group = "when", value_parser = parse_ttl)]
    ttl: Option<i64>,
    /// The key ends at this moment, in ms since the Unix epoch
    #[arg(
        long,
        value_name = "UNIX_MS",
        group = "when",
        allow_negative_numbers = true
    )]
    at: Option<i64>,
    /// The key no longer ends
    #[arg(long, group = "when")]
    persist: bool,
    #[command(flatten)]
    only: OnlyArgs,
}

#[derive(Debug, clap::Args)]
#[group(id = "only", multiple = false)]
#[command(next_help_heading = "Conditions, one at most")]
#[expect(clippy::struct_excessive_bools, reason = "flags, as clap reads them")]
struct OnlyArgs {
    /// Only if the key has no expiry
    #[arg(long)]
    if_no_expiry: bool,
    /// Only if the key has an expiry
    #[arg(long)]
    if_expiry: bool,
    /// Only if the key would end later than now; never is latest
    #[arg(long)]
    if_later: bool,
    /// Only if the key would end earlier than now; never is latest
    #[arg(long)]
    if_earlier: bool,
}

impl OnlyArgs {
    fn condition(&self) -> ExpireCondition {
        if self.if_no_expiry {
            ExpireCondition::Nx
        } else if self.if_expiry {
            ExpireCondition::Xx
        } else if self.if_later {
            ExpireCondition::Gt
        } else if self.if_earlier {
            ExpireCondition::Lt
        } else {
            ExpireCondition::Unspecified
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags) -> Prepared {
        let key = bytes_of(self.key);
        let expiry = match (self.ttl, self.at) {
            (Some(ttl), _) => Expiry::TtlMs(ttl),
            (None, Some(at)) => Expiry::AtMs(at),
            (None, None) => Expiry::Persist(v1::Persist {}),
        };
        let request = v1::ExpireRequest {
            key: key.clone(),
            expiry: Some(expiry),
            condition: self.only.condition().into(),
            options: flags.write_options(),
        };
        Prepared::new(Ask::Expire(request), AnyPending::Expire(Pending { key }))
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::ExpireResponse) -> Report {
        Report {
            key: self.key,
            reply,
        }
    }
}

pub(super) struct Report {
    key: Bytes,
    reply: v1::ExpireResponse,
}

impl output::Report for Report {
    /// Nothing: silence means done.
    fn raw(&self, _out: &mut Vec<u8>) {}

    fn object(&self) -> Map<String, Value> {
        let reply = &self.reply;
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        object.insert("found".into(), reply.found.into());
        object.insert("applied".into(), reply.applied.into());
        if reply.applied {
            object.insert("revision".into(), reply.revision.into());
        }
        if let Some(record) = &reply.record {
            insert_numbers(&mut object, record);
        }
        insert_replayed(&mut object, reply.replayed);
        insert_header(&mut object, reply.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let reply = &self.reply;
        let row = vec![
            show(&self.key),
            reply.found.to_string(),
            reply.applied.to_string(),
            reply
                .record
                .as_ref()
                .map(|record| record.expires_at_ms.to_string())
                .unwrap_or_default(),
            if reply.applied {
                reply.revision.to_string()
            } else {
                String::new()
            },
            is_durable(reply.header.as_ref()).to_string(),
        ];
        Rows::one(HEADER, row)
    }

    fn exit(&self) -> Exit {
        if self.reply.applied {
            Exit::Success
        } else {
            Exit::Negative
        }
    }

    fn problems(&self) -> Vec<String> {
        let key = show(&self.key);
        let ends = self
            .reply
            .record
            .as_ref()
            .map(|record| record.expires_at_ms);
        match (self.reply.applied, self.reply.found, ends) {
            (true, ..) => Vec::new(),
            (_, false, _) => vec![format!("not changed: {key} does not exist")],
            (_, _, Some(0) | None) => vec![format!("not changed: {key} has no expiry")],
            (_, _, Some(at)) => vec![format!("not changed: {key} ends at {at} ms")],
        }
    }
}
