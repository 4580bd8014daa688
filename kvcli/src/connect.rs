//! Reaching a server: the endpoints in their order, each tried once.
//!
//! The socket is opened here and not by tonic's channel, so that "nothing was
//! sent" is certain: until [`connect`] has returned, nothing could be. For the
//! same reason the channel never connects a second time: who may ask again does so
//! with a new one.

use std::{
    error::Error as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::timeout,
};
use tonic::{
    Status,
    transport::{self, Channel, Uri},
};
use tower::service_fn;

use crate::{
    call::Caller,
    endpoint::Endpoint,
    failure::{Failure, complain},
    settings::Settings,
};

/// A stream's window: a value of the largest size fits in few round trips.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// The channel asked for a second connection: the first was lost while nothing
/// was under way, and what asked for it has not been sent.
#[derive(Debug, thiserror::Error)]
#[error("the connection was lost before this")]
struct Lost;

/// Whether a call failed because the connection was gone before it.
pub(crate) fn was_lost_before(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<Lost>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Any byte stream to a server.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Tells when a connection is gone, also while nothing is asked over it.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline(watch::Receiver<()>);

impl Lifeline {
    pub(crate) fn is_lost(&self) -> bool {
        // The other end lives in the socket, and nothing is ever sent.
        self.0.has_changed().is_err()
    }

    /// Waits until the connection is gone.
    pub(crate) async fn lost(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// A socket with the other end of its lifeline, which is dropped with it.
struct Tied {
    socket: Box<dyn Socket>,
    _end: watch::Sender<()>,
}

impl AsyncRead for Tied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tied {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Connects to the first endpoint that can be reached.
pub(crate) async fn connect(settings: &Settings) -> Result<Caller, Failure> {
    let mut errors = Vec::new();
    let caller = first(&settings.endpoints, settings.timeout, &mut errors).await;
    match caller {
        Some(caller) => {
            for error in &errors {
                complain(&format!("skipped {error}"));
            }
            Ok(caller)
        }
        None => Err(Failure::Unreachable(format!(
            "{} (hint: is kvd running there?)",
            errors.join("; ")
        ))),
    }
}

/// The first endpoint that can be reached; `errors` says why those before it cannot.
pub(crate) async fn first(
    endpoints: &[Endpoint],
    limit: Duration,
    errors: &mut Vec<String>,
) -> Option<Caller> {
    for endpoint in endpoints {
        match open(endpoint, limit).await {
            Ok((channel, lifeline)) => {
                return Some(Caller::new(channel, lifeline, endpoint.clone(), limit));
            }
            Err(error) => errors.push(format!("{endpoint}: {error}")),
        }
    }
    None
}

/// Connects to one place.
pub(crate) async fn open(
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<(Channel, Lifeline), String> {
    let connecting = async {
        let socket = socket(endpoint).await.map_err(|error| error.to_string())?;
        let (end, lifeline) = watch::channel(());
        let tied = Tied { socket, _end: end };
        Ok((channel(endpoint, tied).await?, Lifeline(lifeline)))
    };
    timeout(limit, connecting)
        .await
        .map_err(|_| format!("no connection within {limit:?}"))?
}

async fn socket(endpoint: &Endpoint) -> io::Result<Box<dyn Socket>> {
    Ok(match endpoint {
        Endpoint::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// HTTP/2 over a socket that is open already.
async fn channel(endpoint: &Endpoint, socket: Tied) -> Result<Channel, String> {
    let uri = match endpoint {
        Endpoint::Tcp { .. } => format!("http://{endpoint}"),
        Endpoint::Unix(_) => "http://localhost".to_owned(),
    };
    let uri: Uri = uri
        .parse()
        .map_err(|error| format!("not a host name: {error}"))?;
    let once = Mutex::new(Some(socket));
    let connector = service_fn(move |_: Uri| {
        // A lock that is never held across a panic or an await.
        let socket = once.lock().ok().and_then(|mut socket| socket.take());
        async { socket.map(TokioIo::new).ok_or(Lost) }
    });
    transport::Endpoint::from(uri)
        .user_agent(concat!("kvcli/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| error.to_string())?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector(connector)
        .await
        .map_err(|error| error.to_string())
}
