//! Messages on their way out.
//!
//! ```text
//!  WatchResponse   header, watch_id ─ of each watch its own
//!  └ events        events ─────────── encoded here, or shared: encoded once, copied often
//!                  revision, more, position
//! ```
//! The bytes are those that `v1::WatchResponse` has.

use bytes::{BufMut, Bytes};
use kvproto::v1;
use prost::Message as _;
use prost::encoding::{self as pb, WireType};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec as TonicCodec, EncodeBuf, Encoder as TonicEncoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// In front of every message: whether it is compressed, and its length.
const PREFIX: usize = 5;

// The numbers of the fields.
const HEADER: u32 = 1;
const WATCH_ID: u32 = 2;
const EVENTS: u32 = 4;
const EVENT: u32 = 1;
const REVISION: u32 = 2;
const MORE: u32 = 3;
const POSITION: u32 = 4;

/// What goes to a client.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Whole(v1::WatchResponse),
    Events(Events),
}

/// Events of one watch.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    pub(super) header: v1::ResponseHeader,
    pub(super) watch_id: i64,
    pub(super) list: Vec<Event>,
    pub(super) revision: i64,
    pub(super) more_of_revision: bool,
    pub(super) position: Bytes,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Own(v1::Event),
    /// The whole field, as [`shared`] makes it.
    Shared(Bytes),
}

impl From<v1::WatchResponse> for Reply {
    fn from(whole: v1::WatchResponse) -> Self {
        Self::Whole(whole)
    }
}

impl Reply {
    /// How many bytes it is on the wire at least.
    pub(super) fn weight(&self) -> usize {
        let bytes = match self {
            Self::Whole(whole) => whole.encoded_len(),
            Self::Events(events) => events.encoded_len(),
        };
        bytes + PREFIX
    }
}

/// An event as a field of `WatchEvents`.
pub(super) fn shared(event: &v1::Event) -> Bytes {
    let mut field = Vec::with_capacity(pb::message::encoded_len(EVENT, event));
    pb::message::encode(EVENT, event, &mut field);
    field.into()
}

impl Events {
    /// Bytes of the message `WatchEvents`.
    fn inner_len(&self) -> usize {
        let events = self.list.iter().map(|event| match event {
            Event::Own(event) => pb::message::encoded_len(EVENT, event),
            Event::Shared(field) => field.len(),
        });
        let revision = pb::int64::encoded_len(REVISION, &self.revision);
        let more = pb::bool::encoded_len(MORE, &self.more_of_revision);
        let position = pb::bytes::encoded_len(POSITION, &self.position);
        // What has its default value is left out.
        events.sum::<usize>()
            + if self.revision == 0 { 0 } else { revision }
            + if self.more_of_revision { more } else { 0 }
            + if self.position.is_empty() {
                0
            } else {
                position
            }
    }

    fn encoded_len(&self) -> usize {
        let inner = self.inner_len();
        let id = pb::int64::encoded_len(WATCH_ID, &self.watch_id);
        pb::message::encoded_len(HEADER, &self.header)
            + if self.watch_id == 0 { 0 } else { id }
            + pb::key_len(EVENTS)
            + pb::encoded_len_varint(inner as u64)
            + inner
    }

    fn encode(&self, to: &mut impl BufMut) {
        pb::message::encode(HEADER, &self.header, to);
        if self.watch_id != 0 {
            pb::int64::encode(WATCH_ID, &self.watch_id, to);
        }
        pb::encode_key(EVENTS, WireType::LengthDelimited, to);
        pb::encode_varint(self.inner_len() as u64, to);
        for event in &self.list {
            match event {
                Event::Own(event) => pb::message::encode(EVENT, event, to),
                Event::Shared(field) => to.put_slice(field),
            }
        }
        if self.revision != 0 {
            pb::int64::encode(REVISION, &self.revision, to);
        }
        if self.more_of_revision {
            pb::bool::encode(MORE, &self.more_of_revision, to);
        }
        if !self.position.is_empty() {
            pb::bytes::encode(POSITION, &self.position, to);
        }
    }
}

/// How requests are read and replies written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codec;

#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyEncoder;

impl TonicCodec for Codec {
    type Encode = Reply;
    type Decode = v1::WatchRequest;
    type Encoder = ReplyEncoder;
    type Decoder = ProstDecoder<v1::WatchRequest>;

    fn encoder(&mut self) -> ReplyEncoder {
        ReplyEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<v1::WatchResponse, v1::WatchRequest>::raw_decoder(BufferSettings::default())
    }
}

impl TonicEncoder for ReplyEncoder {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match reply {
            Reply::Whole(whole) => whole.encode_raw(to),
            Reply::Events(events) => {
                to.reserve(events.encoded_len());
                events.encode(to);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: &'static str, revision: i64) -> v1::Event {
        v1::Event {
            r#type: v1::EventType::Set.into(),
            cause: v1::EventCause::Written.into(),
            record: Some(v1::Record {
                key: key.into(),
                value: vec![7; 300].into(),
                mod_revision: revision,
                ..v1::Record::default()
            }),
            ..v1::Event::default()
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_whole_message() {
        for (watch_id, revision, more, position) in [
            (3, 9, false, &b"here"[..]),
            (0, 0, true, b""),
            (1, 5, true, b""),
        ] {
            let header = v1::ResponseHeader {
                store_revision: 12,
                durable: true,
                ..v1::ResponseHeader::default()
            };
            let (one, two) = (event("a", 8), event("b", 9));
            let whole = v1::WatchResponse {
                header: Some(header.clone()),
                watch_id,
                response: Some(v1::watch_response::Response::Events(v1::WatchEvents {
                    events: vec![one.clone(), two.clone(), one.clone()],
                    revision,
                    more_of_revision: more,
                    position: Bytes::copy_from_slice(position),
                })),
            };
            let events = Events {
                header,
                watch_id,
                list: vec![
                    Event::Own(one.clone()),
                    Event::Shared(shared(&two)),
                    Event::Shared(shared(&one)),
                ],
                revision,
                more_of_revision: more,
                position: Bytes::copy_from_slice(position),
            };
            let mut bytes = Vec::new();
            events.encode(&mut bytes);
            assert_eq!(bytes, whole.encode_to_vec());
            let weight = Reply::Events(events).weight();
            assert_eq!(weight, Reply::Whole(whole).weight());
        }
    }
}
