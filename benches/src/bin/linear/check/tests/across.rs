//! Histories of several keys made by hand: each key alone is right, the whole is not.

use super::super::Kind;
use super::make::*;
use crate::op::*;

#[test]
fn write_skew_on_a_range() {
    let history = |second: Vec<(Key, Record)>| {
        vec![
            txn(
                (10, 20),
                vec![],
                vec![range(vec![]), put_in_txn(0, 1, (2, 2, 1))],
                2,
            ),
            txn(
                (11, 21),
                vec![],
                vec![range(second), put_in_txn(1, 2, (3, 3, 1))],
                3,
            ),
        ]
    };
    good(&history(vec![(0, record(1, (2, 2, 1)))]));
    bad(&history(vec![]), &[Kind::Snapshot, Kind::Cycle]);
}

#[test]
fn write_skew_by_tests() {
    let absent = |key| {
        let target = Target::Exists(true);
        let operator = Operator::NotEqual;
        vec![(key, Test { target, operator })]
    };
    let history = |tested| {
        vec![
            txn((10, 20), absent(1), vec![put_in_txn(0, 1, (2, 2, 1))], 2),
            txn(
                (11, 21),
                absent(tested),
                vec![put_in_txn(1, 2, (3, 3, 1))],
                3,
            ),
        ]
    };
    good(&history(2));
    bad(&history(0), &[Kind::Snapshot, Kind::Cycle]);
}

#[test]
fn half_seen_transaction() {
    let history = |second: Option<Record>| {
        let steps = vec![put_in_txn(0, 3, (2, 4, 2)), put_in_txn(1, 4, (3, 4, 2))];
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            set((12, 13), 1, 2, (3, 3, 1)),
            txn((20, 30), vec![], steps, 4),
            both((21, 29), &[Some(record(3, (2, 4, 2))), second]),
        ]
    };
    good(&history(Some(record(4, (3, 4, 2)))));
    bad(
        &history(Some(record(2, (3, 3, 1)))),
        &[Kind::Snapshot, Kind::Cycle],
    );
}

#[test]
fn half_seen_undecided_transaction() {
    let history = |second: Option<Record>| {
        let action = Action::Txn {
            compares: Vec::new(),
            success: vec![TxnStep::On(0, put(3)), TxnStep::On(1, put(4))],
            failure: Vec::new(),
        };
        let outcome = Outcome::Undecided("connection lost".into());
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            op((20, 30), action, outcome),
            both((31, 32), &[Some(record(3, (2, 4, 2))), second]),
        ]
    };
    good(&history(Some(record(4, (4, 4, 1)))));
    bad(&history(None), &[Kind::Snapshot, Kind::Cycle]);
}

#[test]
fn snapshot_out_of_order() {
    let history = |first: Option<Record>, second: Option<Record>| {
        vec![
            set((10, 20), 0, 1, (2, 2, 1)),
            set((11, 21), 1, 2, (3, 3, 1)),
            both((12, 22), &[first, second]),
        ]
    };
    let (first, second) = (Some(record(1, (2, 2, 1))), Some(record(2, (3, 3, 1))));
    good(&history(first.clone(), None));
    good(&history(first, second.clone()));
    bad(&history(None, second), &[Kind::Snapshot, Kind::Cycle]);
}

#[test]
fn real_time_between_keys() {
    let history = |first: i64, second: i64| {
        vec![
            set((10, 11), 0, 1, (first, first, 1)),
            set((12, 13), 1, 2, (second, second, 1)),
        ]
    };
    good(&history(2, 3));
    bad(&history(3, 2), &[Kind::RealTime, Kind::Cycle]);
}

#[test]
fn one_revision_for_two() {
    let second = |modified| set((10, 13), 1, 2, (modified, modified, 1));
    let first = set((10, 12), 0, 1, (2, 2, 1));
    good(&[first.clone(), second(3)]);
    bad(&[first, second(2)], &[Kind::Revision]);
}

#[test]
fn tests_that_held_and_are_said_not_to() {
    let history = |tokens: [i64; 2]| {
        let compares = vec![
            (
                0,
                Test::equal(Target::Value((tokens[0] * TOKEN).to_string())),
            ),
            (
                1,
                Test::equal(Target::Value((tokens[1] * TOKEN).to_string())),
            ),
        ];
        let action = Action::Txn {
            compares,
            success: Vec::new(),
            failure: vec![TxnStep::On(0, Step::Get)],
        };
        let reply = Reply::Txn {
            succeeded: false,
            answers: vec![Answer::Got(Some(record(1, (2, 2, 1))))],
            revision: 0,
        };
        vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            set((12, 13), 1, 2, (3, 3, 1)),
            answered((14, 15), action, reply),
        ]
    };
    good(&history([1, 1]));
    bad(&history([1, 2]), &[Kind::Stale, Kind::Cycle]);
}

#[test]
fn headers_that_go_back() {
    let history = |headers: [(i64, i64); 2], daemon: usize| {
        let mut ops = vec![
            set((10, 11), 0, 1, (2, 2, 1)),
            set((12, 13), 1, 2, (5, 5, 1)),
        ];
        for (op, (store, durable)) in ops.iter_mut().zip(headers) {
            if let Outcome::Answered(_, header) = &mut op.outcome {
                *header = Header { store, durable };
            }
        }
        ops[1].daemon = daemon;
        ops
    };
    good(&history([(3, 2), (5, 2)], 0));
    good(&history([(4, 2), (5, 5)], 1));
    let one = [Kind::RealTime];
    bad(&history([(6, 2), (5, 2)], 0), &one);
    bad(&history([(5, 2), (5, 2)], 1), &one);
    bad(&history([(4, 3), (5, 2)], 1), &one);
    bad(&history([(1, 1), (5, 2)], 0), &one);
}
