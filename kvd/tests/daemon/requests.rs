//! Requests with an id: applied once, also across a restart of the daemon.

use super::support::model::{self, all, increment, named, prefix, txn};
use super::support::{Process, Running, channel, get, reason, set};
use kvproto::v1::{
    self, operation::Operation as Op, operation_result::Result as OpResult,
    txn_operation::Operation as Step,
};

/// One request of each kind, all with ids.
fn requests() -> Vec<(&'static str, Op)> {
    let options = |id| Some(named(id));
    vec![
        (
            "set",
            Op::Set(v1::SetRequest {
                options: options("1"),
                ..set("a/set", "v")
            }),
        ),
        (
            "delete",
            Op::Delete(v1::DeleteRequest {
                options: options("2"),
                return_previous: true,
                ..model::delete("a/victim")
            }),
        ),
        (
            "increment",
            Op::Increment(v1::IncrementRequest {
                options: options("3"),
                delta: Some(5),
                ..increment("a/n")
            }),
        ),
        (
            "expire",
            Op::Expire(v1::ExpireRequest {
                options: options("4"),
                ..model::expire("a/kept", v1::expire_request::Expiry::TtlMs(3_600_000))
            }),
        ),
        (
            "batch",
            Op::BatchWrite(v1::BatchWriteRequest {
                operations: (0..3)
                    .map(|_| v1::BatchWriteOperation {
                        operation: Some(v1::batch_write_operation::Operation::Increment(
                            increment("a/m"),
                        )),
                    })
                    .collect(),
                options: options("5"),
            }),
        ),
        (
            "txn",
            Op::Txn(v1::TxnRequest {
                options: options("6"),
                ..txn(vec![
                    Step::Increment(increment("a/t")),
                    Step::Get(get("a/n")),
                    Step::Delete(model::delete("a/second")),
                    Step::RangeGet(v1::RangeGet {
                        range: Some(all()),
                        ..v1::RangeGet::default()
                    }),
                ])
            }),
        ),
        (
            "range",
            Op::DeleteRange(v1::DeleteRangeRequest {
                range: Some(prefix("b/")),
                options: options("7"),
                ..v1::DeleteRangeRequest::default()
            }),
        ),
    ]
}

/// What a repeat has to say again, as text: everything but headers and records.
fn said(result: &OpResult) -> String {
    match result {
        OpResult::Set(reply) => format!("{} {}", reply.applied, reply.revision),
        OpResult::Delete(reply) => format!("{} {}", reply.deleted, reply.revision),
        OpResult::Increment(reply) => format!("{} {}", reply.value, reply.revision),
        OpResult::Expire(reply) => format!("{} {} {}", reply.found, reply.applied, reply.revision),
        OpResult::BatchWrite(reply) => {
            let items = reply.results.iter().map(|item| match &item.result {
                Some(v1::batch_write_result::Result::Increment(reply)) => {
                    format!("{} {}", reply.value, reply.revision)
                }
                other => panic!("{other:?}"),
            });
            items.collect::<Vec<_>>().join(", ")
        }
        OpResult::Txn(reply) => {
            let steps = reply.responses.iter().map(|step| match &step.result {
                Some(v1::txn_result::Result::Increment(reply)) => {
                    format!("{} {}", reply.value, reply.revision)
                }
                Some(v1::txn_result::Result::Delete(reply)) => {
                    format!("{} {}", reply.deleted, reply.revision)
                }
                Some(v1::txn_result::Result::Get(_) | v1::txn_result::Result::RangeGet(_)) => {
                    "read".to_owned()
                }
                other => panic!("{other:?}"),
            });
            let steps = steps.collect::<Vec<_>>().join(", ");
            format!("{} {} {steps}", reply.succeeded, reply.revision)
        }
        OpResult::DeleteRange(reply) => format!(
            "{} {} {} {}",
            reply.deleted, reply.first_revision, reply.last_revision, reply.more
        ),
        other => panic!("{other:?}"),
    }
}

fn replayed(result: &OpResult) -> bool {
    match result {
        OpResult::Set(reply) => reply.replayed && reply.record.is_none(),
        OpResult::Delete(reply) => reply.replayed && reply.previous.is_none(),
        OpResult::Increment(reply) => reply.replayed && reply.record.is_none(),
        OpResult::Expire(reply) => reply.replayed && reply.record.is_none(),
        OpResult::BatchWrite(reply) => reply.replayed,
        OpResult::Txn(reply) => reply.replayed,
        OpResult::DeleteRange(reply) => reply.replayed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_repeat_says_the_same_also_after_a_kill() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut first = Vec::new();
    let mut revision = 0;
    for round in 0..3 {
        let mut process = Process::serve(dir.path());
        let mut kv = model::Kv::new(channel(process.address()).await);
        if round == 0 {
            for name in ["a/victim", "a/kept", "a/second", "b/1", "b/2"] {
                kv.set(set(name, "v")).await.unwrap();
            }
        }
        for (i, (name, request)) in requests().into_iter().enumerate() {
            let result = model::call(&mut kv, request.clone()).await.unwrap();
            assert_eq!(replayed(&result), round > 0, "{name} {round}: {result:?}");
            if round == 0 {
                first.push(said(&result));
            }
            assert_eq!(said(&result), first[i], "{name} {round}");
            let again = model::pipelined(&mut kv, request).await.unwrap();
            assert!(replayed(&again), "{name} {round}: {again:?}");
            assert_eq!(said(&again), first[i], "{name} {round}");
        }
        let last = kv
            .get(get("a/n"))
            .await
            .unwrap()
            .into_inner()
            .record
            .unwrap();
        assert_eq!(last.value, "5");
        if round == 0 {
            revision = last.mod_revision;
        }
        assert_eq!(last.mod_revision, revision);
        // In turn without and with an orderly end.
        if round == 0 {
            process.signal(rustix::process::Signal::KILL);
            process.wait();
        } else {
            assert_eq!(process.stop().code, Some(0));
        }
    }
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let only_new = v1::SetRequest {
        condition: Some(v1::Condition {
            test: Some(v1::condition::Test::Exists(true)),
        }),
        options: Some(named("later")),
        ..set("a", "v")
    };
    let reply = kv.set(only_new.clone()).await.unwrap().into_inner();
    assert!(!reply.applied && !reply.replayed);
    kv.set(set("a", "there")).await.unwrap();
    let reply = kv.set(only_new.clone()).await.unwrap().into_inner();
    assert!(reply.applied && !reply.replayed);
    let reply = kv.set(only_new).await.unwrap().into_inner();
    assert!(reply.applied && reply.replayed);
}

#[tokio::test]
async fn a_delete_in_pieces_is_repeated_piece_by_piece() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    model::fill(&mut kv, "k/", 2500).await;
    let request = v1::DeleteRangeRequest {
        range: Some(prefix("k/")),
        atomic: Some(false),
        options: Some(named("pieces")),
        ..v1::DeleteRangeRequest::default()
    };
    let first = kv.delete_range(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.deleted, first.replayed), (2500, false));
    let again = kv.delete_range(request.clone()).await.unwrap().into_inner();
    assert_eq!((again.deleted, again.replayed), (2500, true));
    model::fill(&mut kv, "k/", 10).await;
    let again = kv.delete_range(request).await.unwrap().into_inner();
    assert_eq!((again.deleted, again.replayed), (2500, true));
    assert_eq!(
        (again.first_revision, again.last_revision),
        (first.first_revision, first.last_revision)
    );
    let kept = kv.get(get("k/00009")).await.unwrap().into_inner();
    assert!(kept.found, "written after the delete, and no part of it");
}

#[tokio::test]
async fn a_batch_under_the_id_of_another_applies_nothing() {
    use v1::batch_write_operation::Operation as Item;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let batch = |names: &[&str]| v1::BatchWriteRequest {
        operations: names
            .iter()
            .map(|name| v1::BatchWriteOperation {
                operation: Some(Item::Set(set(name, "v"))),
            })
            .collect(),
        options: Some(named("batch")),
    };
    kv.batch_write(batch(&["a"])).await.unwrap();
    let status = kv.batch_write(batch(&["b", "c"])).await.unwrap_err();
    assert_eq!(reason(&status), Some(v1::ErrorReason::RequestIdReused));
    let range = Some(all());
    let counted = kv
        .count(v1::CountRequest {
            range,
            options: None,
        })
        .await;
    assert_eq!(counted.unwrap().into_inner().count, 1);
}
