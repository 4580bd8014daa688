//! Ranges, counts and range deletes.

use kvproto::v1::{self, ErrorReason as Reason, operation::Operation as Op};

use super::super::support::model::{key, prefix, span};
use super::keys::long_id;
use super::{Row, bad};

fn count(range: Option<v1::KeyRange>) -> Op {
    Op::Count(v1::CountRequest {
        range,
        options: None,
    })
}

fn delete_range(change: impl FnOnce(&mut v1::DeleteRangeRequest)) -> Op {
    let mut request = v1::DeleteRangeRequest {
        range: Some(prefix("none/")),
        ..v1::DeleteRangeRequest::default()
    };
    change(&mut request);
    Op::DeleteRange(request)
}

pub(super) fn ranges() -> Vec<Row> {
    let long = "k".repeat(4097);
    vec![
        bad("no range", count(None), Reason::BadRange, "range"),
        bad(
            "range without a variant",
            count(Some(v1::KeyRange::default())),
            Reason::BadRange,
            "range",
        ),
        bad(
            "empty prefix",
            count(Some(prefix(""))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "empty key as range",
            count(Some(key(""))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "upside down",
            count(Some(span("b", "a"))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "span of nothing",
            count(Some(span("a", "a"))),
            Reason::BadRange,
            "range",
        ),
        bad(
            "long prefix",
            count(Some(prefix(&long))),
            Reason::KeyTooLarge,
            "range.prefix",
        ),
        bad(
            "long key as range",
            count(Some(key(&long))),
            Reason::KeyTooLarge,
            "range.key",
        ),
        bad(
            "long start",
            count(Some(span(&"k".repeat(4098), ""))),
            Reason::KeyTooLarge,
            "range.span.start",
        ),
        bad(
            "delete of no range",
            delete_range(|d| d.range = None),
            Reason::BadRange,
            "range",
        ),
        bad(
            "negative limit",
            delete_range(|d| d.limit = -1),
            Reason::BadNumber,
            "limit",
        ),
        bad(
            "long request id of a range",
            delete_range(|d| d.options = Some(long_id())),
            Reason::BadRequestId,
            "options.request_id",
        ),
    ]
}
