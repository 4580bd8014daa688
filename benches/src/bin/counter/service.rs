//! A KvService that serves Increment and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use kvproto::v1;
use kvproto::v1::kv_service_server::{KvService, KvServiceServer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

type Reply<T> = Result<Response<T>, Status>;

/// What an increment does.
#[tonic::async_trait]
pub(crate) trait Increment: Send + Sync + 'static {
    async fn increment(&self, request: v1::IncrementRequest) -> Reply<v1::IncrementResponse>;
}

/// Serves on a free port until the task is aborted.
pub(crate) async fn serve(
    what: Arc<impl Increment>,
) -> std::io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = KvServiceServer::new(Only(what));
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpIncoming::from(listener));
    let task = tokio::spawn(async move {
        // It only ends with its task.
        let _ = serving.await;
    });
    Ok((address, task))
}

struct Only<T>(Arc<T>);

fn not_here<T>() -> Reply<T> {
    Err(Status::unimplemented("only Increment is served here"))
}

#[tonic::async_trait]
impl<T: Increment> KvService for Only<T> {
    async fn increment(
        &self,
        request: Request<v1::IncrementRequest>,
    ) -> Reply<v1::IncrementResponse> {
        self.0.increment(request.into_inner()).await
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Reply<v1::GetResponse> {
        not_here()
    }

    async fn set(&self, _: Request<v1::SetRequest>) -> Reply<v1::SetResponse> {
        not_here()
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Reply<v1::DeleteResponse> {
        not_here()
    }

    async fn expire(&self, _: Request<v1::ExpireRequest>) -> Reply<v1::ExpireResponse> {
        not_here()
    }

    async fn batch_get(&self, _: Request<v1::BatchGetRequest>) -> Reply<v1::BatchGetResponse> {
        not_here()
    }

    async fn batch_write(
        &self,
        _: Request<v1::BatchWriteRequest>,
    ) -> Reply<v1::BatchWriteResponse> {
        not_here()
    }

    async fn txn(&self, _: Request<v1::TxnRequest>) -> Reply<v1::TxnResponse> {
        not_here()
    }

    type ScanStream = BoxStream<'static, Result<v1::ScanResponse, Status>>;

    async fn scan(&self, _: Request<v1::ScanRequest>) -> Reply<Self::ScanStream> {
        not_here()
    }

    async fn count(&self, _: Request<v1::CountRequest>) -> Reply<v1::CountResponse> {
        not_here()
    }

    async fn delete_range(
        &self,
        _: Request<v1::DeleteRangeRequest>,
    ) -> Reply<v1::DeleteRangeResponse> {
        not_here()
    }

    type PipelineStream = BoxStream<'static, Result<v1::PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        _: Request<Streaming<v1::PipelineRequest>>,
    ) -> Reply<Self::PipelineStream> {
        not_here()
    }

    async fn wait_durable(
        &self,
        _: Request<v1::WaitDurableRequest>,
    ) -> Reply<v1::WaitDurableResponse> {
        not_here()
    }
}
