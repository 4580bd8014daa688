//! Batches and pipelines: each operation has its own answer, in order.

use super::support::{Running, get, set};
use kvproto::v1::{self, operation::Operation as Op, operation_result::Result as OpResult};
use tokio_stream::StreamExt as _;
use tonic::Code;

#[tokio::test]
async fn batches_answer_item_by_item() {
    use v1::batch_get_result::Result as Got;
    use v1::batch_write_operation::Operation;
    use v1::batch_write_result::Result as Written;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let item = |operation| v1::BatchWriteOperation {
        operation: Some(operation),
    };
    let delete = |key: &'static str| {
        item(Operation::Delete(v1::DeleteRequest {
            key: key.into(),
            ..Default::default()
        }))
    };
    let only_new = v1::SetRequest {
        condition: Some(v1::Condition {
            test: Some(v1::condition::Test::Exists(false)),
        }),
        ..set("a", "other")
    };
    let request = v1::BatchWriteRequest {
        operations: vec![
            item(Operation::Set(set("a", "1"))),
            item(Operation::Set(set("b", "2"))),
            item(Operation::Set(only_new)),
            delete("b"),
            delete("nothing"),
        ],
        options: None,
    };
    let reply = kv.batch_write(request).await.unwrap().into_inner();
    assert!(reply.header.unwrap().durable);
    let results: Vec<_> = reply
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        Written::Set(one),
        Written::Set(two),
        Written::Set(refused),
        Written::Delete(gone),
        Written::Delete(nothing),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!((one.revision, two.revision, gone.revision), (2, 3, 4));
    assert!(one.header.is_none() && !refused.applied && !nothing.deleted);
    assert_eq!(refused.current.as_ref().unwrap().value, "1");
    let keys = vec!["a".into(), "b".into(), "a".into()];
    let reply = kv
        .batch_get(v1::BatchGetRequest {
            keys,
            options: None,
        })
        .await
        .unwrap();
    let results: Vec<_> = reply
        .into_inner()
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [Got::Record(first), Got::Missing(_), Got::Record(second)] = &results[..] else {
        panic!("{results:?}");
    };
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_reply_that_is_full_says_so_item_by_item() {
    use v1::batch_get_result::Result as Got;
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    kv.set(set("big", vec![7; 1 << 20])).await.unwrap();
    kv.set(set("small", "v")).await.unwrap();
    let mut keys = vec!["big".into(); 4];
    keys.push("small".into());
    let reply = kv
        .batch_get(v1::BatchGetRequest {
            keys,
            options: None,
        })
        .await
        .unwrap();
    let results: Vec<_> = reply
        .into_inner()
        .results
        .into_iter()
        .map(|r| r.result.unwrap())
        .collect();
    let [
        Got::Record(_),
        Got::Record(_),
        Got::Record(_),
        Got::Error(full),
        Got::Record(_),
    ] = &results[..]
    else {
        panic!("{:?}", results.len());
    };
    assert_eq!(full.reason(), v1::ErrorReason::ReplyTooLarge);
    assert_eq!(full.code, i32::from(Code::ResourceExhausted));
}

#[tokio::test]
async fn a_pipeline_of_mixed_operations() {
    let running = Running::start(&[]).await;
    let mut kv = running.kv().await;
    let mut operations = Vec::new();
    for id in 0..1000 {
        let key = format!("k{}", id / 2);
        let operation = if id % 2 == 0 {
            Op::Set(set(&key, key.clone()))
        } else {
            Op::Get(get(&key))
        };
        operations.push(v1::Operation {
            id,
            operation: Some(operation),
        });
    }
    let messages: Vec<_> = operations
        .chunks(10)
        .map(|chunk| v1::PipelineRequest {
            operations: chunk.to_vec(),
            require: Vec::new(),
        })
        .collect();
    let mut replies = kv
        .pipeline(tokio_stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let mut next = 0;
    while let Some(reply) = replies.next().await {
        let reply = reply.unwrap();
        assert!(reply.header.unwrap().durable);
        for result in reply.results {
            assert_eq!(result.id, next);
            match result.result.unwrap() {
                OpResult::Set(set) => assert!(set.applied && next % 2 == 0),
                OpResult::Get(get) => assert!(get.found && next % 2 == 1),
                other => panic!("{other:?}"),
            }
            next += 1;
        }
    }
    assert_eq!(next, 1000);
}
