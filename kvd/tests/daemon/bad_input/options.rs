//! Options, conditions and capabilities that nobody knows or that are not there yet.

use super::call::{Call, expiring, on_condition, read, write};
use super::{Row, row};
use kvproto::v1::{self, ErrorReason as Reason, condition::Test};
use tonic::Code;

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn options() -> Vec<Row> {
    let bad = Code::InvalidArgument;
    let option = Reason::UnsupportedOption;
    let lacks = Reason::CapabilityMissing;
    let durability = |durability| {
        write(v1::WriteOptions {
            durability,
            ..Default::default()
        })
    };
    let lease = vec![v1::Capability::Lease.into()];
    vec![
        row(
            "unknown durability",
            durability(77),
            bad,
            option,
            "durability",
        ),
        row(
            "negative durability",
            durability(-1),
            bad,
            option,
            "number -1",
        ),
        row(
            "unknown read level",
            read(v1::ReadOptions {
                level: 3,
                ..Default::default()
            }),
            bad,
            option,
            "options.level",
        ),
        row(
            "expiry without a variant",
            expiring(None),
            bad,
            option,
            "expiry",
        ),
        row(
            "condition without a variant",
            on_condition(None),
            bad,
            option,
            "condition",
        ),
        row(
            "negative revision",
            on_condition(Some(Test::ModRevision(-1))),
            bad,
            Reason::BadNumber,
            "mod_revision",
        ),
        row(
            "past revision",
            read(v1::ReadOptions {
                at_revision: 1,
                ..Default::default()
            }),
            bad,
            option,
            "at_revision",
        ),
        row(
            "position",
            read(v1::ReadOptions {
                min_position: "p".into(),
                ..Default::default()
            }),
            bad,
            option,
            "min_position",
        ),
        row(
            "missing capability",
            read(v1::ReadOptions {
                require: lease.clone(),
                ..Default::default()
            }),
            Code::Unimplemented,
            lacks,
            "CAPABILITY_LEASE",
        ),
        row(
            "unknown capability",
            write(v1::WriteOptions {
                require: vec![999],
                ..Default::default()
            }),
            Code::Unimplemented,
            lacks,
            "999",
        ),
        row(
            "capability 0",
            write(v1::WriteOptions {
                require: vec![0],
                ..Default::default()
            }),
            bad,
            option,
            "not a capability",
        ),
        row(
            "pipeline without a capability",
            Call::Pipeline(vec![v1::PipelineRequest {
                operations: Vec::new(),
                require: lease,
            }]),
            Code::Unimplemented,
            lacks,
            "CAPABILITY_LEASE",
        ),
    ]
}
