//! Items of batches, ranges and revisions that name nothing, and calls to come.

use super::super::support::set;
use super::call::{Call, batch};
use super::{Row, row};
use bytes::Bytes;
use kvproto::v1::{self, ErrorReason as Reason, batch_write_operation::Operation as Item};
use tonic::Code;

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn items_and_ranges() -> Vec<Row> {
    let bad = Code::InvalidArgument;
    let not_yet = Code::Unimplemented;
    let own = v1::SetRequest {
        options: Some(v1::WriteOptions::default()),
        ..set("k", "v")
    };
    let wait = |revision| {
        Call::WaitDurable(v1::WaitDurableRequest {
            revision,
            require: vec![],
        })
    };
    let range = |range| Some(v1::KeyRange { range });
    let prefix = v1::key_range::Range::Prefix(Bytes::new());
    vec![
        row(
            "item without an operation",
            batch(vec![None]),
            bad,
            Reason::UnsupportedOption,
            "operations[0]",
        ),
        row(
            "item with options",
            batch(vec![Some(Item::Set(own))]),
            bad,
            Reason::OptionConflict,
            "options of its own",
        ),
        row(
            "second item bad",
            batch(vec![
                Some(Item::Set(set("k", "v"))),
                Some(Item::Set(set("", "v"))),
            ]),
            bad,
            Reason::EmptyKey,
            "key is empty",
        ),
        row(
            "future revision",
            wait(1 << 40),
            Code::OutOfRange,
            Reason::FutureRevision,
            "future",
        ),
        row("negative wait", wait(-5), bad, Reason::BadNumber, "-5"),
        row(
            "missing range",
            Call::Count(v1::CountRequest::default()),
            bad,
            Reason::BadRange,
            "there is no range",
        ),
        row(
            "range without a variant",
            Call::Scan(v1::ScanRequest {
                range: range(None),
                ..Default::default()
            }),
            bad,
            Reason::BadRange,
            "names nothing",
        ),
        row(
            "empty prefix",
            Call::DeleteRange(v1::DeleteRangeRequest {
                range: range(Some(prefix)),
                ..Default::default()
            }),
            bad,
            Reason::BadRange,
            "prefix is empty",
        ),
        row("Grant", Call::Grant, not_yet, Reason::NotYet, "Grant"),
        row("Compact", Call::Compact, not_yet, Reason::NotYet, "Compact"),
    ]
}
