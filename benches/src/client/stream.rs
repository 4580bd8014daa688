//! Calls with many messages in one or both directions.

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};

use super::{PREFIX, status};
use crate::Result;

/// The messages that are sent. Whoever sends limits what is unanswered: nothing here
/// waits for the server's window.
pub(crate) struct Requests(pub(super) SendStream<Bytes>);

impl Requests {
    pub(crate) fn send(&mut self, message: Bytes, last: bool) -> Result<()> {
        Ok(self.0.send_data(message, last)?)
    }
}

/// The messages that come back.
pub(crate) struct Replies {
    state: State,
    /// What has come of the next message.
    buffer: BytesMut,
}

enum State {
    Asked(ResponseFuture),
    Open(RecvStream),
    Ended,
}

impl Replies {
    pub(super) fn new(reply: ResponseFuture) -> Self {
        Self {
            state: State::Asked(reply),
            buffer: BytesMut::new(),
        }
    }

    /// The next message; `None` after the last, if the call succeeded.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = take(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match &mut self.state {
                State::Asked(reply) => {
                    let reply = reply.await?;
                    if reply.headers().contains_key("grpc-status") || !reply.status().is_success() {
                        status(reply.headers())?;
                        self.state = State::Ended;
                    } else {
                        self.state = State::Open(reply.into_body());
                    }
                }
                State::Open(body) => {
                    if let Some(part) = body.data().await {
                        let part = part?;
                        body.flow_control().release_capacity(part.len())?;
                        self.buffer.extend_from_slice(&part);
                        continue;
                    }
                    status(&body.trailers().await?.unwrap_or_default())?;
                    self.state = State::Ended;
                }
                State::Ended if self.buffer.is_empty() => return Ok(None),
                State::Ended => return Err("the last reply was cut off".into()),
            }
        }
    }
}

/// The first message of a buffer, if it is whole.
fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>> {
    let Some((mut prefix, rest)) = buffer.split_at_checked(PREFIX) else {
        return Ok(None);
    };
    let (flag, length) = (prefix.get_u8(), prefix.get_u32() as usize);
    if flag != 0 {
        return Err(format!("a reply with flag {flag}").into());
    }
    if rest.len() < length {
        buffer.reserve(PREFIX + length);
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_came_in() {
        let sent = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01d";
        for cut in 1..sent.len() {
            let mut buffer = BytesMut::new();
            let mut messages = Vec::new();
            for part in [&sent[..cut], &sent[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(message) = take(&mut buffer).unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [&b"abc"[..], b"", b"d"], "cut at {cut}");
            assert!(buffer.is_empty());
        }
        assert!(take(&mut BytesMut::from(&b"\x01\0\0\0\0"[..])).is_err());
    }
}
