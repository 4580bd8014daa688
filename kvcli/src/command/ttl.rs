//! `ttl KEY`: how long a key still lives, by the clock of this machine.

use std::{
    ffi::OsString,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use kvproto::v1;
use serde_json::{Map, Value};

use super::{Ask, Pending as AnyPending, Prepared, record::insert_header};
use crate::{
    args::{CallFlags, bytes_of},
    failure::Exit,
    output::{self, Rows},
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &["key", "found", "remaining_ms", "expires_at_ms"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Key to look at; after -- it may begin with a dash
    #[arg(value_name = "KEY")]
    key: OsString,
}

#[derive(Debug)]
pub(crate) struct Pending {
    key: Bytes,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags) -> Prepared {
        let key = bytes_of(self.key);
        let request = v1::GetRequest {
            key: key.clone(),
            options: flags.read_options(),
        };
        Prepared::new(Ask::Get(request), AnyPending::Ttl(Pending { key }))
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::GetResponse) -> Report {
        let record = reply.record.filter(|_| reply.found);
        Report {
            key: self.key,
            expires_at_ms: record.map(|record| record.expires_at_ms),
            header: reply.header,
            now_ms: now_ms(),
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

pub(super) struct Report {
    key: Bytes,
    /// None if the key does not exist.
    expires_at_ms: Option<i64>,
    header: Option<v1::ResponseHeader>,
    now_ms: i64,
}

impl Report {
    /// -1 for ever. A key that is still there has not ended, whatever this clock
    /// says.
    fn remaining_ms(&self) -> Option<i64> {
        let at = self.expires_at_ms?;
        Some(match at {
            0 => -1,
            at => at.saturating_sub(self.now_ms).max(0),
        })
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        if let Some(remaining) = self.remaining_ms() {
            out.extend_from_slice(remaining.to_string().as_bytes());
        }
        out.push(b'\n');
    }

    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &self.key);
        object.insert("found".into(), self.expires_at_ms.is_some().into());
        if let Some(remaining) = self.remaining_ms() {
            object.insert("remaining_ms".into(), remaining.into());
            object.insert("expires_at_ms".into(), self.expires_at_ms.into());
        }
        insert_header(&mut object, self.header.as_ref());
        object
    }

    fn rows(&self) -> Rows {
        let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
        let row = vec![
            show(&self.key),
            self.expires_at_ms.is_some().to_string(),
            number(self.remaining_ms()),
            number(self.expires_at_ms),
        ];
        Rows::one(HEADER, row)
    }

    fn exit(&self) -> Exit {
        match self.expires_at_ms {
            Some(_) => Exit::Success,
            None => Exit::Negative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_never_less_than_nothing() {
        let table = [
            (None, None),
            (Some(0), Some(-1)),
            (Some(1_500), Some(500)),
            (Some(900), Some(0)),
            (Some(i64::MAX), Some(i64::MAX - 1_000)),
        ];
        for (expires_at_ms, remaining) in table {
            let report = Report {
                key: Bytes::new(),
                expires_at_ms,
                header: None,
                now_ms: 1_000,
            };
            assert_eq!(report.remaining_ms(), remaining);
        }
    }
}
