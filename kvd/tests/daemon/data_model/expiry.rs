//! Expiry: who may change it, when a key ends, and that every call agrees.

use super::super::support::model::{self, all, expire, expiring, increment, key, prefix, txn};
use super::super::support::{Running, get, set, start_in};
use super::far;
use kvproto::v1::{
    self, condition::Test, expire_request::Expiry as To, expiry::When,
    txn_operation::Operation as Step, txn_result::Result as StepResult,
};

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
