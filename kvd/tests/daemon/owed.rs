//! A connection's account of what its client has not read yet.

use super::support::{Running, get, set};
use kvproto::v1;

/// What is owed to a client must not add up while it reads all of it.
#[tokio::test]
async fn a_client_that_reads_everything_is_never_refused_for_what_it_did_not_read() {
    let running = Running::start(&[("server.reply_memory", "1MiB")]).await;
    let mut kv = running.kv().await;
    kv.set(set("k", "v")).await.unwrap();
    let operation = |id| v1::Operation {
        id,
        operation: Some(v1::operation::Operation::Set(v1::SetRequest {
            options: Some(v1::WriteOptions {
                durability: v1::Durability::None.into(),
                ..v1::WriteOptions::default()
            }),
            ..set("k", "v")
        })),
    };
    let (asking, asked) = tokio::sync::mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut replies = kv.pipeline(stream).await.unwrap().into_inner();
    for message in 0..60 {
        let operations = (0..500).map(|id| operation(message * 500 + id)).collect();
        let require = Vec::new();
        asking
            .send(v1::PipelineRequest {
                operations,
                require,
            })
            .await
            .unwrap();
        let mut answered = 0;
        while answered < 500 {
            let reply = replies.message().await.unwrap().unwrap();
            for result in &reply.results {
                let applied = matches!(
                    &result.result,
                    Some(v1::operation_result::Result::Set(reply)) if reply.applied
                );
                assert!(applied, "{:?}", result.result);
            }
            answered += reply.results.len();
        }
    }
    for _ in 0..12_000 {
        kv.get(get("k")).await.expect("never refused");
    }
}
