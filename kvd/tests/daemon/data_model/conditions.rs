//! What a condition that does not hold shows.

use super::super::support::model::delete;
use super::super::support::{Running, set};
use kvproto::v1::{self, condition::Test};

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
