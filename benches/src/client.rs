//! A unary gRPC client straight on h2.
//!
//! tonic's own client costs a multiple of what a call costs the server: on a machine
//! that both share, the client would be what is measured. This one sends a prepared
//! head and a framed message and checks everything that comes back.

mod stream;

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, Uri, header};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::Result;
pub(crate) use stream::{Replies, Requests};

/// So large that the driver never holds a server back.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;
const FRAME: u32 = 1 << 20;
/// Flag and length before a message.
pub(crate) const PREFIX: usize = 5;

/// One connection; cloned for each call in flight. Must be used on the thread that
/// made it.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Connection {
    /// Connects, inside a `LocalSet`.
    pub(crate) async fn new(address: SocketAddr) -> Result<Self> {
        Self::with_windows(address, STREAM_WINDOW, CONNECTION_WINDOW).await
    }

    /// As [`Connection::new`], with the bytes that a server may send before they are read.
    pub(crate) async fn with_windows(
        address: SocketAddr,
        stream_window: u32,
        connection_window: u32,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|e| format!("cannot connect to {address}: {e}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_frame_size(FRAME)
            .enable_push(false)
            .handshake(stream)
            .await?;
        // Its end, good or bad, shows in the calls.
        spawn_local(connection);
        Ok(Self { sender, address })
    }

    /// Prepares calls of a method, for example `Get` of KvService.
    pub(crate) fn method(&self, name: &str) -> Result<Method> {
        self.method_of("kvd.v1.KvService", name)
    }

    /// Prepares calls of a method of any service.
    pub(crate) fn method_of(&self, service: &str, name: &str) -> Result<Method> {
        let uri: Uri = format!("http://{}/{service}/{name}", self.address).parse()?;
        let head = Request::post(uri)
            .header(header::TE, "trailers")
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(())?;
        Ok(Method {
            sender: self.sender.clone(),
            head,
        })
    }
}

/// One method, called one call after the other.
pub(crate) struct Method {
    sender: SendRequest<Bytes>,
    head: Request<()>,
}

impl Method {
    /// Sends a framed message and returns the reply's message.
    pub(crate) async fn call(&mut self, message: Bytes) -> Result<Bytes> {
        std::future::poll_fn(|cx| self.sender.poll_ready(cx)).await?;
        let (reply, mut body) = self.sender.send_request(self.head.clone(), false)?;
        body.send_data(message, true)?;
        finish(reply.await?).await
    }

    /// Sends a framed message and reads the replies one by one.
    pub(crate) async fn stream(&mut self, message: Bytes) -> Result<Replies> {
        let (mut requests, replies) = self.open().await?;
        requests.send(message, true)?;
        Ok(replies)
    }

    /// Opens a stream in both directions.
    pub(crate) async fn open(&mut self) -> Result<(Requests, Replies)> {
        std::future::poll_fn(|cx| self.sender.poll_ready(cx)).await?;
        let (reply, body) = self.sender.send_request(self.head.clone(), false)?;
        Ok((Requests(body), Replies::new(reply)))
    }
}

async fn finish(reply: Response<RecvStream>) -> Result<Bytes> {
    if reply.headers().contains_key("grpc-status") || !reply.status().is_success() {
        // No message: the head is all there is.
        status(reply.headers())?;
        return Err(format!("HTTP status {} and no message", reply.status()).into());
    }
    let mut body = reply.into_body();
    let message = message(&mut body).await?;
    let trailers = body.trailers().await?;
    status(&trailers.unwrap_or_default())?;
    unframe(message)
}

async fn message(body: &mut RecvStream) -> Result<Bytes> {
    let mut whole = Bytes::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        if whole.is_empty() {
            whole = part;
        } else {
            // Only large messages come in parts.
            let mut longer = BytesMut::from(whole);
            longer.extend_from_slice(&part);
            whole = longer.freeze();
        }
    }
    Ok(whole)
}

/// The message out of a body that holds exactly one.
fn unframe(mut body: Bytes) -> Result<Bytes> {
    if body.len() < PREFIX {
        return Err(format!("a reply of {} bytes is no message", body.len()).into());
    }
    let (flag, length) = (body.get_u8(), body.get_u32());
    if flag != 0 || length as usize != body.len() {
        return Err(format!(
            "a reply with flag {flag} and length {length} holds {} bytes",
            body.len()
        )
        .into());
    }
    Ok(body)
}

/// Whether the call succeeded, by its trailers.
fn status(trailers: &HeaderMap) -> Result<()> {
    let text = |name| trailers.get(name).and_then(|v| v.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        code => Err(format!(
            "gRPC status {}: {}",
            code.unwrap_or("missing"),
            text("grpc-message").unwrap_or("no message")
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_hold_exactly_one_plain_message() {
        let body = Bytes::from_static(b"\0\0\0\0\x03abc");
        assert_eq!(unframe(body.clone()).unwrap(), "abc");
        let error = |length| unframe(body.slice(..length)).unwrap_err().to_string();
        assert_eq!(error(4), "a reply of 4 bytes is no message");
        assert_eq!(error(7), "a reply with flag 0 and length 3 holds 2 bytes");
        assert!(
            unframe(Bytes::from_static(b"\x01\0\0\0\0")).is_err(),
            "compressed"
        );
    }

    #[test]
    fn only_status_0_is_success() {
        let mut trailers = HeaderMap::new();
        assert!(status(&trailers).is_err(), "a reply that was cut off");
        trailers.insert("grpc-status", "0".parse().unwrap());
        assert!(status(&trailers).is_ok());
        trailers.insert("grpc-status", "8".parse().unwrap());
        trailers.insert("grpc-message", "too%20much".parse().unwrap());
        let error = status(&trailers).unwrap_err().to_string();
        assert_eq!(error, "gRPC status 8: too%20much");
    }
}
