//! The count itself, on a counter that remembers request ids and on one that does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kvproto::v1;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tonic::{Response, Status};

use super::clients::Job;
use super::proxy::{self, Proxy};
use super::service::{Increment, serve};
use super::{KEY, count, verdict};

const COUNT: u64 = 400;

#[derive(Default)]
struct Counter {
    value: i64,
    outcomes: HashMap<Bytes, i64>,
}

struct InMemory(Mutex<Counter>);

#[tonic::async_trait]
impl Increment for InMemory {
    async fn increment(
        &self,
        request: v1::IncrementRequest,
    ) -> Result<Response<v1::IncrementResponse>, Status> {
        let mut counter = self.0.lock().unwrap();
        let id = request.options.unwrap_or_default().request_id;
        let before = counter.outcomes.get(&id).copied();
        if before.is_none() {
            counter.value += 1;
        }
        let value = before.unwrap_or(counter.value);
        if !id.is_empty() {
            counter.outcomes.insert(id, value);
        }
        Ok(Response::new(v1::IncrementResponse {
            value,
            revision: value + 1,
            replayed: before.is_some(),
            ..Default::default()
        }))
    }
}

/// Counts over a line that loses every fifth reply.
fn counted(with_ids: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let store = Arc::new(InMemory(Mutex::default()));
        let (server, serving) = serve(store.clone()).await.unwrap();
        let client = proxy::client(&format!("http://{server}")).unwrap();
        let (_line, end) = watch::channel(Some(client));
        let line = Arc::new(Proxy::new(end, 20, 1));
        let (address, proxying) = serve(line.clone()).await.unwrap();
        let job = Job::new(KEY, with_ids, COUNT);
        count(&job, address, 16, 1).await.unwrap();
        proxying.abort();
        serving.abort();
        assert!(line.counts().dropped > 0, "the line was good");
        let value = store.0.lock().unwrap().value;
        let told = job.told.borrow();
        verdict(COUNT, value, &told, line.counts())
    })
}

#[test]
fn request_ids_make_the_count_exact() {
    assert_eq!(counted(true), Ok(()));
}

#[test]
fn without_them_it_is_wrong_and_noticed() {
    let wrong = counted(false).unwrap_err();
    assert!(wrong.contains("the counter is"), "{wrong}");
}
