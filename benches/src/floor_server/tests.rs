use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::runtime::Builder;

use super::*;

fn operation(id: u64, operation: Op) -> v1::Operation {
    v1::Operation {
        id,
        operation: Some(operation),
    }
}

fn set(id: u64, value: &'static str) -> v1::Operation {
    operation(
        id,
        Op::Set(v1::SetRequest {
            key: "k".into(),
            value: value.into(),
            ..v1::SetRequest::default()
        }),
    )
}

fn get(id: u64) -> v1::Operation {
    operation(
        id,
        Op::Get(v1::GetRequest {
            key: "k".into(),
            options: None,
        }),
    )
}

/// The values that the results show, by id; a write shows its revision.
async fn pipeline(address: SocketAddr, messages: Vec<Vec<v1::Operation>>) -> Vec<(u64, String)> {
    let mut client = KvServiceClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let messages = messages.into_iter().map(|operations| v1::PipelineRequest {
        operations,
        require: vec![],
    });
    let replies = client.pipeline(stream::iter(messages)).await.unwrap();
    let messages: Vec<_> = replies.into_inner().collect().await;
    let results = messages
        .into_iter()
        .flat_map(|message| message.unwrap().results);
    results
        .map(|result| {
            let shown = match result.result.unwrap() {
                OpResult::Get(get) => String::from_utf8(get.record.unwrap().value.into()).unwrap(),
                OpResult::Set(set) => format!("revision {}", set.revision),
                OpResult::Error(error) => format!("error {}", error.code),
                other => format!("{other:?}"),
            };
            (result.id, shown)
        })
        .collect()
}

#[test]
fn a_pipeline_runs_and_answers_in_order_however_it_is_cut() {
    let server = in_process(FloorMap::new());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let delete = operation(5, Op::Delete(v1::DeleteRequest::default()));
    let operations = vec![set(1, "one"), get(2), set(3, "two"), get(4), delete];
    let singly = operations.iter().cloned().map(|op| vec![op]).collect();
    let shown = runtime.block_on(pipeline(server.address, singly));
    let wanted = |first| {
        let revisions = [first, first + 1].map(|revision| format!("revision {revision}"));
        let [one, two] = revisions;
        [one, "one".into(), two, "two".into(), "error 12".into()]
    };
    let numbered = |shown: [String; 5]| (1..).zip(shown).collect::<Vec<(u64, String)>>();
    assert_eq!(shown, numbered(wanted(2)));
    let shown = runtime.block_on(pipeline(server.address, vec![operations]));
    assert_eq!(shown, numbered(wanted(4)));
    let many: Vec<_> = (0..30).map(|_| (0..100).map(get).collect()).collect();
    let shown = runtime.block_on(pipeline(server.address, many));
    assert_eq!(shown.len(), 3000);
    assert!(shown.iter().all(|(_, value)| value == "two"));
}

#[test]
fn what_it_does_not_serve_it_says() {
    let server = in_process(FloorMap::new());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let mut client = KvServiceClient::connect(format!("http://{}", server.address))
            .await
            .unwrap();
        client
            .delete(v1::DeleteRequest::default())
            .await
            .unwrap_err()
    });
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::Unimplemented, NOT_HERE)
    );
}
