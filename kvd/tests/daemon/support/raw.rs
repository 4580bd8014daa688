//! A client below gRPC libraries: one call with chosen headers and bytes, so that
//! nothing but the server decides how it ends.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tonic::Status;

/// A message with its gRPC frame.
pub(crate) fn framed(message: &impl prost::Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("a small message"));
    message.encode(&mut bytes).expect("room");
    bytes.freeze()
}

/// An HTTP/2 connection with windows large enough not to matter.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("listening");
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(64 << 20)
        .initial_connection_window_size(64 << 20)
        .handshake(stream)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    client
}

/// The head of a gRPC request.
pub(crate) fn head(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://kvd{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("valid")
}

/// One call; the frames of its reply, or its status.
pub(crate) async fn call(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Bytes, Status> {
    let mut client = connect(address).await.ready().await.expect("ready");
    let (reply, mut send) = client
        .send_request(head(path, headers), false)
        .expect("sent");
    send.send_data(body, true).expect("sent");
    let reply = reply.await.expect("answered");
    let mut trailers: HeaderMap = reply.headers().clone();
    let mut body = reply.into_body();
    let mut frames = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        frames.extend_from_slice(&data);
        let _ = body.flow_control().release_capacity(data.len());
    }
    if let Some(more) = body.trailers().await.expect("trailers") {
        trailers.extend(more);
    }
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        _ => Ok(frames.freeze()),
    }
}
