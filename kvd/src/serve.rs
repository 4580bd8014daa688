//! A tonic server with every HTTP/2 limit set on purpose.
//!
//! The defaults are not safe: streams, local resets and the concurrency of handlers
//! are unbounded. Nothing here knows what is served, so a bench can serve something
//! else in exactly the same way.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::transport::Server;
use tower::Service;

use crate::connection::{Connection, Socket};

/// Window of one stream, and of all streams of a connection together.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes of all headers of one request.
const HEADER_LIST: u32 = 16 << 10;
/// Streams that a client may reset before they were looked at, and that the server
/// may have to reset itself, before the connection is ended.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1024;
/// When a silent connection is asked whether it lives, and how long it may take to
/// answer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);

/// What can be configured of the HTTP/2 side.
#[derive(Clone, Copy, Debug)]
pub struct Http2 {
    /// Concurrent streams of one connection, and so its concurrent handlers.
    pub max_streams: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { max_streams: 1024 }
    }
}

impl Http2 {
    fn server(self) -> Server {
        Server::builder()
            .max_concurrent_streams(self.max_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(HEADER_LIST)
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
            .http2_max_local_error_reset_streams(Some(LOCAL_RESETS))
            .http2_keepalive_interval(Some(KEEPALIVE_AFTER))
            .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
    }
}

/// Serves `service` on the sockets that come in, on the current runtime, until
/// `stop` is ready; then ends each connection after what it has in flight.
pub async fn serve<S>(
    http2: Http2,
    service: S,
    sockets: UnboundedReceiver<Socket>,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let connections = UnboundedReceiverStream::new(sockets)
        // A socket that cannot be registered is dropped; its peer sees it closed.
        .filter_map(|socket| Connection::new(socket).ok())
        .map(Ok::<_, io::Error>);
    http2
        .server()
        .serve_with_incoming_shutdown(service, connections, stop)
        .await
}
