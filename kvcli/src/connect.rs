//! Reaching a server: the endpoints in their order, each tried once.
//!
//! The socket is opened here and not by tonic's channel, so that "nothing was
//! sent" is certain: until [`connect`] has returned, nothing could be. For the
//! same reason the channel never connects a second time: who may ask again does so
//! with a new one.

use std::{error::Error as _, io, sync::Mutex, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
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

/// Connects to the first endpoint that can be reached.
pub(crate) async fn connect(settings: &Settings) -> Result<Caller, Failure> {
    let mut errors = Vec::new();
    for endpoint in &settings.endpoints {
        match open(endpoint, settings.timeout).await {
            Ok(channel) => {
                for error in &errors {
                    complain(&format!("skipped {error}"));
                }
                return Ok(Caller::new(channel, endpoint.clone(), settings.timeout));
            }
            Err(error) => errors.push(format!("{endpoint}: {error}")),
        }
    }
    Err(Failure::Unreachable(format!(
        "{} (hint: is kvd running there?)",
        errors.join("; ")
    )))
}

/// Connects to one place.
pub(crate) async fn open(endpoint: &Endpoint, limit: Duration) -> Result<Channel, String> {
    let connecting = async {
        let socket = socket(endpoint).await.map_err(|error| error.to_string())?;
        channel(endpoint, socket).await
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
async fn channel(endpoint: &Endpoint, socket: Box<dyn Socket>) -> Result<Channel, String> {
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
