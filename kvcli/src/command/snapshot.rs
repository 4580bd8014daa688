//! `snapshot`: the server writes one now.

use kvproto::v1;
use serde_json::{Map, Value};

use super::{Ask, Pending, Prepared};
use crate::{
    failure::Exit,
    output::{self, Rows},
};

const HEADER: &[&str] = &[
    "records",
    "bytes",
    "start_revision",
    "end_revision",
    "took_ms",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "the same shape as every other command")]
    pub(super) fn prepare(self) -> Prepared {
        let request = v1::CreateSnapshotRequest::default();
        Prepared::new(Ask::Snapshot(request), Pending::Snapshot)
    }
}

pub(super) struct Report {
    reply: v1::CreateSnapshotResponse,
}

impl Report {
    pub(super) fn new(reply: v1::CreateSnapshotResponse) -> Self {
        Self { reply }
    }

    /// In the order of [`HEADER`].
    fn figures(&self) -> [i64; 5] {
        let reply = &self.reply;
        [
            reply.records,
            reply.bytes,
            reply.start_revision,
            reply.end_revision,
            reply.took_ms,
        ]
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        for (name, figure) in HEADER.iter().zip(self.figures()) {
            out.extend_from_slice(format!("{name}={figure}\n").as_bytes());
        }
    }

    fn object(&self) -> Map<String, Value> {
        let named = HEADER.iter().zip(self.figures());
        named
            .map(|(name, figure)| ((*name).to_owned(), figure.into()))
            .collect()
    }

    fn rows(&self) -> Rows {
        let row = self.figures().map(|figure| figure.to_string());
        Rows::one(HEADER, row.to_vec())
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }
}
