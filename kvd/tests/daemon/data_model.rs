//! Counters, expiry, conditions and transactions, over the embedded engine.

use super::support::model::{
    self, all, call, delete, expire, expiring, increment, key, pipelined, prefix, step, txn,
};
use super::support::{Running, get, set, start_in};
use kvproto::v1::{
    self, batch_write_operation::Operation as Item, batch_write_result::Result as ItemResult,
    condition::Test, expire_request::Expiry as To, expiry::When, operation::Operation as Op,
    operation_result::Result as OpResult, txn_operation::Operation as Step,
    txn_result::Result as StepResult,
};

/// A moment that no test lives to see, as a client would compute it.
fn far() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap() + 3_600_000
}

/// Operations of one key each, and of every kind that a transaction takes.
fn script(far: i64) -> Vec<Op> {
    let returning = |request: v1::DeleteRequest| v1::DeleteRequest {
        return_previous: true,
        ..request
    };
    let bounded = v1::IncrementRequest {
        delta: Some(-20),
        min: Some(-10),
        saturate: true,
        ..increment("n")
    };
    vec![
        Op::Get(get("a")),
        Op::Set(set("a", "1")),
        Op::Set(v1::SetRequest {
            return_previous: true,
            ..expiring("a", When::AtMs(far))
        }),
        Op::Get(get("a")),
        Op::Expire(expire("a", To::AtMs(far + 1000))),
        Op::Expire(expire("a", To::Persist(v1::Persist {}))),
        Op::Expire(expire("none", To::TtlMs(1000))),
        Op::Increment(increment("n")),
        Op::Increment(v1::IncrementRequest {
            delta: Some(41),
            ..increment("n")
        }),
        Op::Increment(v1::IncrementRequest {
            initial: 100,
            expiry: Some(v1::Expiry {
                when: Some(When::AtMs(far)),
            }),
            ..increment("m")
        }),
        Op::Increment(bounded),
        Op::Get(get("n")),
        Op::Delete(returning(delete("n"))),
        Op::Delete(returning(delete("n"))),
        Op::Expire(expire("a", To::AtMs(1))),
        Op::Get(get("a")),
        Op::Set(expiring("b", When::AtMs(1))),
        Op::Get(get("b")),
    ]
}

/// One step alone in a transaction.
async fn in_txn(kv: &mut model::Kv, operation: Op) -> OpResult {
    let step = match operation {
        Op::Get(request) => Step::Get(request),
        Op::Set(request) => Step::Set(request),
        Op::Delete(request) => Step::Delete(request),
        Op::Increment(request) => Step::Increment(request),
        Op::Expire(request) => Step::Expire(request),
        other => panic!("{other:?}"),
    };
    let mut reply = kv.txn(txn(vec![step])).await.unwrap().into_inner();
    assert!(reply.succeeded && reply.responses.len() == 1);
    match reply.responses.remove(0).result.unwrap() {
        StepResult::Get(reply) => OpResult::Get(reply),
        StepResult::Set(reply) => OpResult::Set(reply),
        StepResult::Delete(reply) => OpResult::Delete(reply),
        StepResult::Increment(reply) => OpResult::Increment(reply),
        StepResult::Expire(reply) => OpResult::Expire(reply),
        other => panic!("{other:?}"),
    }
}

/// One write alone in a batch; a read is a call.
async fn in_batch(kv: &mut model::Kv, operation: Op) -> OpResult {
    let item = match operation {
        Op::Set(request) => Item::Set(request),
        Op::Delete(request) => Item::Delete(request),
        Op::Increment(request) => Item::Increment(request),
        Op::Expire(request) => Item::Expire(request),
        other => return call(kv, other).await.unwrap(),
    };
    let request = v1::BatchWriteRequest {
        operations: vec![v1::BatchWriteOperation {
            operation: Some(item),
        }],
        options: None,
    };
    let mut reply = kv.batch_write(request).await.unwrap().into_inner();
    match reply.results.remove(0).result.unwrap() {
        ItemResult::Set(reply) => OpResult::Set(reply),
        ItemResult::Delete(reply) => OpResult::Delete(reply),
        ItemResult::Increment(reply) => OpResult::Increment(reply),
        ItemResult::Expire(reply) => OpResult::Expire(reply),
        ItemResult::Error(error) => panic!("{error:?}"),
    }
}

/// Without the header, which speaks of the store.
fn bare(mut result: OpResult) -> OpResult {
    match &mut result {
        OpResult::Get(reply) => reply.header = None,
        OpResult::Set(reply) => reply.header = None,
        OpResult::Delete(reply) => reply.header = None,
        OpResult::Increment(reply) => reply.header = None,
        OpResult::Expire(reply) => reply.header = None,
        other => panic!("{other:?}"),
    }
    result
}

#[tokio::test]
async fn alone_in_a_pipeline_in_a_batch_and_in_a_transaction_it_is_the_same() {
    let stores = [
        Running::start(&[]).await,
        Running::start(&[]).await,
        Running::start(&[]).await,
        Running::start(&[]).await,
    ];
    let mut clients = Vec::new();
    for store in &stores {
        clients.push(store.kv().await);
    }
    for operation in script(far()) {
        let alone = bare(call(&mut clients[0], operation.clone()).await.unwrap());
        let others = [
            pipelined(&mut clients[1], operation.clone()).await.unwrap(),
            in_batch(&mut clients[2], operation.clone()).await,
            in_txn(&mut clients[3], operation.clone()).await,
        ];
        for other in others {
            assert_eq!(bare(other), alone, "{operation:?}");
        }
    }
}

#[tokio::test]
async fn whoever_loses_a_condition_sees_the_record_that_stands() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("a", "one")).await.unwrap();
    kv.set(set("a", "two")).await.unwrap();
    let cases = [
        ("absent", Test::Version(1), false),
        ("absent", Test::Value("".into()), false),
        ("absent", Test::CreateRevision(2), false),
        ("a", Test::Version(1), false),
        ("a", Test::Version(0), false),
        ("a", Test::Value("one".into()), false),
        ("a", Test::CreateRevision(3), false),
        ("a", Test::CreateRevision(0), false),
        ("a", Test::Version(2), true),
        ("a", Test::Value("v".into()), true),
        ("a", Test::CreateRevision(2), true),
        ("absent", Test::Version(0), true),
        ("fresh", Test::CreateRevision(0), true),
    ];
    for (key, test, applied) in cases {
        let condition = Some(v1::Condition {
            test: Some(test.clone()),
        });
        if !applied {
            let request = v1::DeleteRequest {
                condition: condition.clone(),
                ..delete(key)
            };
            let reply = kv.delete(request).await.unwrap().into_inner();
            assert!(!reply.deleted && reply.revision == 0, "{key} {test:?}");
            assert_eq!(reply.current.is_some(), key == "a", "{key} {test:?}");
        }
        let request = v1::SetRequest {
            condition,
            ..set(key, "v")
        };
        let reply = kv.set(request).await.unwrap().into_inner();
        assert_eq!(reply.applied, applied, "{key} {test:?}");
        let current = reply.current.map(|record| (record.value, record.version));
        let stands = (key == "a" && !applied).then(|| ("two".into(), 2));
        assert_eq!(current, stands, "{key} {test:?}");
    }
}

#[tokio::test]
async fn an_expiry_changes_on_its_conditions() {
    use v1::ExpireCondition::{Gt, Lt, Nx, Unspecified, Xx};
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("a", "v")).await.unwrap();
    let far = far();
    let (early, late) = (far, far + 1000);
    let cases = [
        (To::AtMs(early), Xx, false, 0),
        (To::AtMs(early), Gt, false, 0),
        (To::AtMs(late), Lt, true, late),
        (To::AtMs(early), Nx, false, late),
        (To::AtMs(early), Gt, false, late),
        (To::AtMs(early), Lt, true, early),
        (To::AtMs(late), Gt, true, late),
        (To::AtMs(early), Xx, true, early),
        (To::Persist(v1::Persist {}), Unspecified, true, 0),
        (To::AtMs(early), Nx, true, early),
    ];
    for (to, condition, applied, expires) in cases {
        let request = v1::ExpireRequest {
            condition: condition.into(),
            ..expire("a", to)
        };
        let reply = kv.expire(request).await.unwrap().into_inner();
        assert_eq!(
            (reply.found, reply.applied),
            (true, applied),
            "{to:?} {condition:?}"
        );
        assert_eq!(reply.revision > 0, applied, "{to:?} {condition:?}");
        let record = reply.record.unwrap();
        assert_eq!(record.expires_at_ms, expires, "{to:?} {condition:?}");
        let found = kv.get(get("a")).await.unwrap().into_inner().record.unwrap();
        assert_eq!(found.expires_at_ms, expires);
        assert_eq!(
            (found.mod_revision, found.version),
            (record.mod_revision, record.version)
        );
    }
    let nobody = kv
        .expire(expire("none", To::TtlMs(1)))
        .await
        .unwrap()
        .into_inner();
    assert!(!nobody.found && !nobody.applied && nobody.record.is_none());
}

#[tokio::test]
async fn a_key_ends_when_its_time_is_over_and_not_before_and_not_with_a_restart() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let far = far();
    kv.set(expiring("keep", When::AtMs(far))).await.unwrap();
    let kept = v1::SetRequest {
        expiry: Some(v1::Expiry {
            when: Some(When::Keep(v1::KeepExpiry {})),
        }),
        ..set("keep", "new")
    };
    let record = kv.set(kept).await.unwrap().into_inner().record.unwrap();
    assert_eq!(record.expires_at_ms, far);
    kv.set(expiring("plain", When::AtMs(far))).await.unwrap();
    let record = kv
        .set(set("plain", "v"))
        .await
        .unwrap()
        .into_inner()
        .record
        .unwrap();
    assert_eq!(record.expires_at_ms, 0);
    let counter = v1::IncrementRequest {
        expiry: Some(v1::Expiry {
            when: Some(When::AtMs(far)),
        }),
        ..increment("n")
    };
    kv.increment(counter).await.unwrap();
    let reply = kv.increment(increment("n")).await.unwrap().into_inner();
    assert_eq!((reply.value, reply.record.unwrap().expires_at_ms), (2, far));
    let first = kv
        .set(expiring("soon", When::TtlMs(300)))
        .await
        .unwrap()
        .into_inner();
    let Running { daemon, dir } = running;
    daemon.stop().await.unwrap();
    let daemon = start_in(dir.path(), &[]).await;
    let running = Running { daemon, dir };
    let mut kv = running.kv().await;
    let found = kv
        .get(get("keep"))
        .await
        .unwrap()
        .into_inner()
        .record
        .unwrap();
    assert_eq!((found.expires_at_ms, &found.value[..]), (far, &b"new"[..]));
    while kv.get(get("soon")).await.unwrap().into_inner().found {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let range = Some(all());
    let counted = kv
        .count(v1::CountRequest {
            range,
            options: None,
        })
        .await
        .unwrap();
    assert_eq!(counted.into_inner().count, 3);
    let again = v1::SetRequest {
        condition: Some(v1::Condition {
            test: Some(Test::Exists(false)),
        }),
        ..set("soon", "again")
    };
    let again = kv.set(again).await.unwrap().into_inner();
    let record = again.record.unwrap();
    assert_eq!((again.applied, record.version), (true, 1));
    // The end took a revision of its own.
    assert!(record.create_revision > first.revision + 1);
}

fn compare(key_name: &str, target: v1::compare::Target) -> v1::Compare {
    v1::Compare {
        range: Some(key(key_name)),
        operator: v1::CompareOperator::Equal.into(),
        target: Some(target),
    }
}

#[tokio::test]
async fn a_transaction_takes_one_branch_whole_under_one_revision() {
    use v1::compare::Target;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let move_money = v1::TxnRequest {
        compares: vec![compare("from", Target::Value("10".into()))],
        success: vec![
            step(Step::Increment(v1::IncrementRequest {
                delta: Some(-10),
                ..increment("from")
            })),
            step(Step::Increment(v1::IncrementRequest {
                delta: Some(10),
                ..increment("to")
            })),
            step(Step::Get(get("to"))),
        ],
        failure: vec![step(Step::Get(get("from")))],
        options: None,
    };
    let reply = kv.txn(move_money.clone()).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (false, 0));
    kv.set(set("from", "10")).await.unwrap();
    let reply = kv.txn(move_money.clone()).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (true, 3));
    assert!(reply.header.unwrap().durable);
    let results: Vec<_> = reply
        .responses
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        StepResult::Increment(from),
        StepResult::Increment(to),
        StepResult::Get(read),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!(
        (from.value, to.value, from.revision, to.revision),
        (0, 10, 3, 3)
    );
    let read = read.record.as_ref().unwrap();
    assert_eq!((&read.value[..], read.mod_revision), (&b"10"[..], 3));
    let reply = kv.txn(move_money).await.unwrap().into_inner();
    assert!(!reply.succeeded);
    let Some(StepResult::Get(from)) = &reply.responses[0].result else {
        panic!("{reply:?}");
    };
    assert_eq!(from.record.as_ref().unwrap().value, "0");
}

#[tokio::test]
async fn transactions_nest_and_span_ranges() {
    use v1::compare::Target;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        kv.set(set(name, "v")).await.unwrap();
    }
    let inner = v1::TxnRequest {
        // Of the state before the whole, in which a/2 is there.
        compares: vec![compare("a/2", Target::Exists(true))],
        success: vec![step(Step::Set(set("seen", "yes")))],
        failure: vec![step(Step::Set(set("seen", "no")))],
        options: None,
    };
    let range_get = |reverse, limit, keys_only| {
        Step::RangeGet(v1::RangeGet {
            range: Some(prefix("a/")),
            limit,
            reverse,
            keys_only,
        })
    };
    let request = v1::TxnRequest {
        compares: vec![v1::Compare {
            range: Some(prefix("a/")),
            operator: v1::CompareOperator::Less.into(),
            target: Some(Target::ModRevision(5)),
        }],
        ..txn(vec![
            range_get(true, 2, true),
            Step::RangeDelete(v1::RangeDelete {
                range: Some(prefix("a/")),
            }),
            range_get(false, 0, false),
            Step::Txn(inner),
        ])
    };
    let reply = kv.txn(request).await.unwrap().into_inner();
    assert_eq!((reply.succeeded, reply.revision), (true, 6));
    let results: Vec<_> = reply
        .responses
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        StepResult::RangeGet(before),
        StepResult::RangeDelete(deleted),
        StepResult::RangeGet(after),
        StepResult::Txn(nested),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    let keys: Vec<_> = before
        .records
        .iter()
        .map(|r| (&r.key[..], r.value.len()))
        .collect();
    assert_eq!(keys, [(&b"a/3"[..], 0), (b"a/2", 0)]);
    assert!(before.more && after.records.is_empty() && !after.more);
    assert_eq!(deleted.deleted, 3);
    assert!(nested.succeeded && nested.revision == 6 && nested.header.is_none());
    let seen = kv
        .get(get("seen"))
        .await
        .unwrap()
        .into_inner()
        .record
        .unwrap();
    assert_eq!((&seen.value[..], seen.create_revision), (&b"yes"[..], 6));
}

#[tokio::test]
async fn eight_transactions_nest_and_branches_may_repeat_each_other() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let deep = (0..8).fold(txn(vec![Step::Set(set("deep", "v"))]), |inner, _| {
        txn(vec![Step::Txn(inner)])
    });
    assert_eq!(kv.txn(deep).await.unwrap().into_inner().revision, 2);
    // Both branches may change the same key, and a key may be read and changed.
    let branches = v1::TxnRequest {
        failure: vec![step(Step::Set(set("x", "2")))],
        ..txn(vec![
            Step::Get(get("x")),
            Step::Set(set("x", "1")),
            Step::Get(get("x")),
        ])
    };
    let reply = kv.txn(branches).await.unwrap().into_inner();
    let found: Vec<_> = reply
        .responses
        .iter()
        .filter_map(|response| match &response.result {
            Some(StepResult::Get(reply)) => Some(reply.found),
            _ => None,
        })
        .collect();
    assert_eq!(found, [false, true]);
}

/// What looks at `name`, or writes to it, one way each; whether the key was there.
async fn met(kv: &mut model::Kv, name: &str, way: usize) -> bool {
    let absent = Some(v1::Condition {
        test: Some(Test::Exists(false)),
    });
    match way {
        0 => kv.get(get(name)).await.unwrap().into_inner().found,
        1 => {
            let request = v1::BatchGetRequest {
                keys: vec![name.to_owned().into()],
                options: None,
            };
            let reply = kv.batch_get(request).await.unwrap().into_inner();
            let missing = v1::batch_get_result::Result::Missing(v1::Missing {});
            reply.results[0].result != Some(missing)
        }
        2 => {
            let range = Some(key(name));
            let request = v1::CountRequest {
                range,
                options: None,
            };
            kv.count(request).await.unwrap().into_inner().count == 1
        }
        3 => {
            let request = v1::ScanRequest {
                range: Some(prefix(name)),
                ..v1::ScanRequest::default()
            };
            let mut pages = kv.scan(request).await.unwrap().into_inner();
            let page = pages.message().await.unwrap().unwrap();
            !page.records.is_empty()
        }
        4 => {
            let request = txn(vec![Step::Get(get(name))]);
            let reply = kv.txn(request).await.unwrap().into_inner();
            matches!(&reply.responses[0].result, Some(StepResult::Get(reply)) if reply.found)
        }
        5 => {
            let request = v1::SetRequest {
                condition: absent,
                ..expiring(name, When::AtMs(1))
            };
            !kv.set(request).await.unwrap().into_inner().applied
        }
        6 => {
            let request = expire(name, To::Persist(v1::Persist {}));
            kv.expire(request).await.unwrap().into_inner().found
        }
        _ => {
            let request = v1::DeleteRangeRequest {
                range: Some(prefix(name)),
                ..v1::DeleteRangeRequest::default()
            };
            kv.delete_range(request).await.unwrap().into_inner().deleted == 1
        }
    }
}

#[tokio::test]
async fn a_key_that_ends_meanwhile_is_gone_for_every_call_and_stays_gone() {
    let running = Running::start(&[("log.sync", "never")]).await;
    let mut kv = running.kv().await;
    let mut ended = [0; 8];
    for round in 0..400 {
        let name = format!("k{round}");
        kv.set(expiring(&name, When::TtlMs(1 + round % 3)))
            .await
            .unwrap();
        let way = usize::try_from(round).unwrap() % ended.len();
        if round % 3 == 0 {
            // Its time is over for sure, and perhaps nobody has noticed.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        if !met(&mut kv, &name, way).await {
            ended[way] += 1;
            assert!(!kv.get(get(&name)).await.unwrap().into_inner().found);
        }
    }
    assert!(ended.iter().all(|ended| *ended > 0), "{ended:?}");
}
