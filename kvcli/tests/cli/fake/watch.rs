//! Watches by the book of a test: what each of them sends, one after the other.

use std::pin::Pin;

use kvproto::v1::{self, watch_request::Request as Ask, watch_service_server::WatchService};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::service::Service;

#[tonic::async_trait]
impl WatchService for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = request.into_inner().message().await?;
        let Some(Ask::Create(create)) = first.and_then(|first| first.request) else {
            return Err(Status::invalid_argument("a watch begins with a create"));
        };
        let (script, more) = {
            let mut state = self.state();
            state.watches.push(create);
            let script = state.watch_scripts.pop_front().unwrap_or_default();
            (script, !state.watch_scripts.is_empty())
        };
        let sent = tokio_stream::iter(script.into_iter().map(Ok));
        // It breaks if there is a script for another; else nothing happens any more.
        let cut = Err(Status::unavailable("cut"));
        Ok(Response::new(if more {
            Box::pin(sent.chain(tokio_stream::once(cut)))
        } else {
            Box::pin(sent.chain(tokio_stream::pending()))
        }))
    }
}
