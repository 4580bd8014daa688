//! What every request passes first: its deadline is taken, what it brings is
//! counted, and calls on keys go straight to their service.
//!
//! The router that tonic offers matches paths in a tree and boxes once more; calls
//! on keys, which are nearly all, need neither.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::intake::{Counted, Intake};
use crate::service::deadline::Deadline;

const KV: &str = "/kvd.v1.KvService/";

/// The service of one runtime: calls on keys, and the rest.
#[derive(Clone, Debug)]
pub struct Front<K> {
    kv: K,
    rest: Routes,
    intake: Arc<Intake>,
}

impl<K> Front<K> {
    pub fn new(kv: K, rest: Routes, intake: Arc<Intake>) -> Self {
        Self {
            kv,
            rest: rest.prepare(),
            intake,
        }
    }
}

impl<K> Service<Request<Body>> for Front<K>
where
    K: Service<Request<Counted>, Response = Response<Body>, Error = Infallible>,
    K::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = FrontFuture<K::Future, <Routes as Service<Request<Counted>>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither side ever queues.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(deadline) = Deadline::from_headers(request.headers()) {
            request.extensions_mut().insert(deadline);
        }
        let request = request.map(|body| self.intake.count(body));
        if request.uri().path().starts_with(KV) {
            FrontFuture::Kv(self.kv.call(request))
        } else {
            FrontFuture::Rest(self.rest.call(request))
        }
    }
}

/// The answer of either side.
#[derive(Debug)]
pub enum FrontFuture<K, R> {
    Kv(K),
    Rest(R),
}

impl<K, R> Future for FrontFuture<K, R>
where
    K: Future + Unpin,
    R: Future<Output = K::Output> + Unpin,
{
    type Output = K::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Kv(future) => Pin::new(future).poll(cx),
            Self::Rest(future) => Pin::new(future).poll(cx),
        }
    }
}
