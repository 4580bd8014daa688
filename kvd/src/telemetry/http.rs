//! The HTTP side: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::health::Health;

/// What a connection may take. Whoever neither asks nor reads loses its place, so that
/// `/healthz` can be asked by others.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at one time; the next waits to be accepted.
    connections: usize,
    /// Between requests, or within one.
    silence: Duration,
    /// Until the other side takes more of an answer.
    unread: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    silence: Duration::from_secs(30),
    unread: Duration::from_secs(10),
};

/// What the HTTP side shows.
pub trait Source: Send + Sync + 'static {
    fn health(&self) -> Health;
    /// In the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// Serves until dropped.
pub async fn serve<S: Source>(listener: TcpListener, source: Arc<S>) -> io::Result<()> {
    serve_within(LIMITS, listener, source).await
}

async fn serve_within<S: Source>(
    limits: Limits,
    listener: TcpListener,
    source: Arc<S>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz::<S>))
        .route("/metrics", get(metrics::<S>))
        .with_state(source);
    axum::serve(Capped::new(limits, listener), router).await
}

/// The process answers: that is all that liveness means. A log that has failed is
/// for an operator to look at, not for a restart loop.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz<S: Source>(State(source): State<Arc<S>>) -> impl IntoResponse {
    let health = source.health();
    if health.reads && health.writes {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", health.why),
        )
    }
}

async fn metrics<S: Source>(State(source): State<Arc<S>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], source.metrics())
}

/// A listener with a bound on open connections.
struct Capped {
    limits: Limits,
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Capped {
    fn new(limits: Limits, listener: TcpListener) -> Self {
        Self {
            limits,
            listener,
            places: Arc::new(Semaphore::new(limits.connections)),
        }
    }
}

impl Listener for Capped {
    type Io = Held;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Held, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let held = Held {
            stream,
            silence: Patience::new(self.limits.silence),
            unread: Patience::new(self.limits.unread),
            _place: place,
        };
        (held, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream that holds its place.
struct Held {
    stream: TcpStream,
    silence: Patience,
    unread: Patience,
    _place: Option<OwnedSemaphorePermit>,
}

/// How long one side of a stream may stand still.
struct Patience {
    limit: Duration,
    since: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// `polled`, or an error if that has been pending for too long.
    fn bound<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.since = None;
            return polled;
        }
        let limit = self.limit;
        let since = self
            .since
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        let late = since.as_mut().poll(cx);
        late.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.silence.bound(polled, cx)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unread.bound(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Has more to say than sockets hold.
    struct Talkative;

    impl Source for Talkative {
        fn health(&self) -> Health {
            Health {
                reads: true,
                writes: true,
                why: String::new(),
            }
        }

        fn metrics(&self) -> String {
            "x".repeat(32 << 20)
        }
    }

    async fn served(silence: u64, unread: u64) -> SocketAddr {
        let limits = Limits {
            connections: 4,
            silence: Duration::from_millis(silence),
            unread: Duration::from_millis(unread),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_within(limits, listener, Arc::new(Talkative)));
        address
    }

    /// One request, and all of the answer.
    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn fill(address: SocketAddr, request: &[u8]) -> Vec<TcpStream> {
        let mut sockets = Vec::new();
        for _ in 0..4 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(request).await.unwrap();
            sockets.push(socket);
        }
        sockets
    }

    #[tokio::test]
    async fn who_does_not_read_loses_its_place() {
        let address = served(3_600_000, 50).await;
        let sockets = fill(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let health = tokio::time::timeout(Duration::from_secs(20), ask(address, "/healthz"));
        assert!(health.await.expect("a place").ends_with("ok\n"));
        // Who reads slowly keeps it.
        drop(sockets);
        let answer = ask(address, "/metrics").await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), 32 << 20);
    }

    #[tokio::test]
    async fn who_does_not_ask_loses_its_place() {
        let address = served(50, 3_600_000).await;
        let _sockets = fill(address, b"GET /met").await;
        let health = tokio::time::timeout(Duration::from_secs(20), ask(address, "/healthz"));
        assert!(health.await.expect("a place").ends_with("ok\n"));
    }
}
