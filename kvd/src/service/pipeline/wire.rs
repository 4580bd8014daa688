//! How messages of a pipeline are read and written: see `request` and `reply`.

use bytes::Buf as _;
use tonic::codec::{BufferSettings, Codec as TonicCodec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

use super::reply::Reply;
use super::request::Message;

#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Codec;

#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Read;

#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Write;

impl TonicCodec for Codec {
    type Encode = Reply;
    type Decode = Message;
    type Encoder = Write;
    type Decoder = Read;

    fn encoder(&mut self) -> Write {
        Write
    }

    fn decoder(&mut self) -> Read {
        Read
    }
}

impl Decoder for Read {
    type Item = Message;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Message>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let read = Message::read(bytes);
        read.map(Some)
            .map_err(|error| Status::new(Code::Internal, error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Encoder for Write {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(reply.encoded_len());
        reply.encode(to);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
