//! The service on the wire. What is generated would take only whole messages, not those with
//! events that are encoded already; the rest is what is generated.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, FutureExt as _, Ready, ready};
use http_body::Body as HttpBody;
use kvproto::v1;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::Service;

use super::wire::{Codec, Reply};
use super::{Replies, Watch};
use crate::backend::Store;

const PATH: &str = "/kvd.v1.WatchService/Watch";

/// See the module.
#[derive(Debug)]
pub struct WatchServer<S: Store> {
    watch: Arc<Watch<S>>,
    longest: usize,
}

impl<S: Store> WatchServer<S> {
    /// `longest` is the largest request.
    pub fn new(watch: Watch<S>, longest: usize) -> Self {
        Self {
            watch: Arc::new(watch),
            longest,
        }
    }
}

impl<S: Store> Clone for WatchServer<S> {
    fn clone(&self) -> Self {
        Self {
            watch: Arc::clone(&self.watch),
            longest: self.longest,
        }
    }
}

impl<S: Store> NamedService for WatchServer<S> {
    const NAME: &'static str = "kvd.v1.WatchService";
}

/// One call of the method.
struct Call<S: Store>(Arc<Watch<S>>);

impl<S: Store> StreamingService<v1::WatchRequest> for Call<S> {
    type Response = Reply;
    type ResponseStream = Replies;
    type Future = Ready<Result<Response<Replies>, Status>>;

    fn call(&mut self, request: Request<Streaming<v1::WatchRequest>>) -> Self::Future {
        ready(self.0.watch(request))
    }
}

impl<S, B> Service<http::Request<B>> for WatchServer<S>
where
    S: Store,
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != PATH {
            let unknown = Status::new(Code::Unimplemented, "");
            return ready(Ok(unknown.into_http())).boxed();
        }
        let (call, longest) = (Call(Arc::clone(&self.watch)), self.longest);
        async move {
            let grpc = Grpc::new(Codec);
            let mut grpc = grpc.apply_max_message_size_config(Some(longest), None);
            Ok(grpc.streaming(call, request).await)
        }
        .boxed()
    }
}
