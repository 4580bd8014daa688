//! Changes of one key.

use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason as Reason, condition::Test, expiry::When, operation::Operation as Op,
};
use tonic::Code;

use super::super::support::model::{self, increment, key};
use super::super::support::set;
use super::{Row, bad, row};

fn expiring(when: Option<When>) -> Op {
    Op::Set(v1::SetRequest {
        expiry: Some(v1::Expiry { when }),
        ..set("k", "v")
    })
}

fn expire(expiry: Option<v1::expire_request::Expiry>, condition: i32) -> Op {
    Op::Expire(v1::ExpireRequest {
        key: "k".into(),
        expiry,
        condition,
        options: None,
    })
}

fn on_condition(test: Option<Test>) -> Op {
    Op::Set(v1::SetRequest {
        condition: Some(v1::Condition { test }),
        ..set("k", "v")
    })
}

fn counter(change: impl FnOnce(&mut v1::IncrementRequest)) -> Op {
    let mut request = increment("n");
    change(&mut request);
    Op::Increment(request)
}

pub(super) fn write_options(options: v1::WriteOptions) -> Op {
    Op::Set(v1::SetRequest {
        options: Some(options),
        ..set("k", "v")
    })
}

/// Longer by one than a request id may be.
pub(super) fn long_id() -> v1::WriteOptions {
    v1::WriteOptions {
        request_id: vec![b'r'; 65].into(),
        ..v1::WriteOptions::default()
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn one_key() -> Vec<Row> {
    use v1::expire_request::Expiry as To;
    let century = 100 * 366 * 86_400_000_i64;
    vec![
        bad(
            "ttl 0",
            expiring(Some(When::TtlMs(0))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "ttl -1",
            expiring(Some(When::TtlMs(-1))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "over a century",
            expiring(Some(When::TtlMs(century + 1))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "ttl overflows",
            expiring(Some(When::TtlMs(i64::MAX))),
            Reason::BadTtl,
            "expiry.ttl_ms",
        ),
        bad(
            "moment overflows",
            expiring(Some(When::AtMs(i64::MAX))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "moment before the epoch",
            expiring(Some(When::AtMs(-1))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "moment 0",
            expiring(Some(When::AtMs(0))),
            Reason::BadTtl,
            "expiry.at_ms",
        ),
        bad(
            "empty expiry",
            expiring(None),
            Reason::UnsupportedOption,
            "expiry",
        ),
        bad(
            "lease",
            expiring(Some(When::LeaseId(7))),
            Reason::UnsupportedOption,
            "expiry.lease_id",
        ),
        bad(
            "expire without a variant",
            expire(None, 0),
            Reason::UnsupportedOption,
            "expiry",
        ),
        bad(
            "expire ttl 0",
            expire(Some(To::TtlMs(0)), 0),
            Reason::BadTtl,
            "ttl_ms",
        ),
        bad(
            "expire at -1",
            expire(Some(To::AtMs(-1)), 0),
            Reason::BadTtl,
            "at_ms",
        ),
        bad(
            "unknown expire condition",
            expire(Some(To::TtlMs(5)), 9),
            Reason::UnsupportedOption,
            "condition",
        ),
        bad(
            "empty condition",
            on_condition(None),
            Reason::UnsupportedOption,
            "condition",
        ),
        bad(
            "negative version",
            on_condition(Some(Test::Version(-1))),
            Reason::BadNumber,
            "condition.version",
        ),
        bad(
            "negative creation",
            on_condition(Some(Test::CreateRevision(-1))),
            Reason::BadNumber,
            "condition.create_revision",
        ),
        bad(
            "condition on a long value",
            on_condition(Some(Test::Value(vec![0; (1 << 20) + 1].into()))),
            Reason::ValueTooLarge,
            "condition.value",
        ),
        bad(
            "delta 0",
            counter(|n| n.delta = Some(0)),
            Reason::BadNumber,
            "delta",
        ),
        bad(
            "min above max",
            counter(|n| (n.min, n.max) = (Some(2), Some(1))),
            Reason::BadNumber,
            "min",
        ),
        bad(
            "counter without a key",
            counter(|n| n.key = Bytes::new()),
            Reason::EmptyKey,
            "key",
        ),
        row(
            "not a counter",
            Op::Increment(increment("text")),
            Code::FailedPrecondition,
            Reason::NotAnInteger,
            "",
        ),
        row(
            "counter overflows",
            counter(|n| n.initial = i64::MAX),
            Code::OutOfRange,
            Reason::OutOfBounds,
            "",
        ),
        row(
            "counter passes its bound",
            counter(|n| (n.delta, n.max) = (Some(11), Some(10))),
            Code::OutOfRange,
            Reason::OutOfBounds,
            "",
        ),
        bad(
            "long request id",
            write_options(long_id()),
            Reason::BadRequestId,
            "options.request_id",
        ),
        row(
            "request id of another body",
            write_options(model::named("used")),
            Code::AlreadyExists,
            Reason::RequestIdReused,
            "options.request_id",
        ),
        row(
            "request id of another call",
            Op::DeleteRange(v1::DeleteRangeRequest {
                range: Some(key("k")),
                options: Some(model::named("used")),
                ..v1::DeleteRangeRequest::default()
            }),
            Code::AlreadyExists,
            Reason::RequestIdReused,
            "options.request_id",
        ),
    ]
}
