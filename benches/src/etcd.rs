//! The little of etcd's protocol that is needed beside kvd's: messages of package
//! `etcdserverpb`, with the fields that are used.

use bytes::Bytes;

/// The service that the messages belong to.
pub(crate) const SERVICE: &str = "etcdserverpb.KV";
/// The service of watches.
pub(crate) const WATCH: &str = "etcdserverpb.Watch";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    /// Exclusive; empty: the one key.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) range_end: Bytes,
    #[prost(int64, tag = "3")]
    pub(crate) limit: i64,
    /// Answer from what this member has, without asking whether it is the newest.
    #[prost(bool, tag = "7")]
    pub(crate) serializable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub(crate) more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestOp {
    #[prost(oneof = "Request", tags = "2")]
    pub(crate) request: Option<Request>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Request {
    #[prost(message, tag = "2")]
    Put(PutRequest),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    pub(crate) success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResponseOp {
    #[prost(oneof = "Response", tags = "2")]
    pub(crate) response: Option<Response>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Response {
    #[prost(message, tag = "2")]
    Put(PutResponse),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub(crate) succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub(crate) responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    /// Exclusive; empty: the one key.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) range_end: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchResponse {
    #[prost(bool, tag = "3")]
    pub(crate) created: bool,
    #[prost(bool, tag = "4")]
    pub(crate) canceled: bool,
    #[prost(message, repeated, tag = "11")]
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(message, optional, tag = "2")]
    pub(crate) kv: Option<Changed>,
}

/// What of a changed key a listener looks at.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Changed {
    #[prost(int64, tag = "3")]
    pub(crate) mod_revision: i64,
}

/// A transaction that puts all of these.
pub(crate) fn puts(pairs: impl Iterator<Item = (Bytes, Bytes)>) -> TxnRequest {
    let puts = pairs.map(|(key, value)| RequestOp {
        request: Some(Request::Put(PutRequest { key, value })),
    });
    TxnRequest {
        success: puts.collect(),
    }
}

/// Whether a transaction of `count` puts was applied.
pub(crate) fn applied(reply: &TxnResponse, count: usize) -> bool {
    let put = |op: &ResponseOp| matches!(op.response, Some(Response::Put(_)));
    reply.succeeded && reply.responses.len() == count && reply.responses.iter().all(put)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn messages_have_the_bytes_that_etcd_knows() {
        let range = RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            limit: 5,
            serializable: true,
        };
        assert_eq!(range.encode_to_vec(), b"\x0a\x01a\x12\x01b\x18\x05\x38\x01");
        let txn = puts(std::iter::once(("k".into(), "v".into())));
        assert_eq!(txn.encode_to_vec(), b"\x12\x08\x12\x06\x0a\x01k\x12\x01v");
        // A header, succeeded, one put.
        let reply = b"\x0a\x02\x18\x07\x10\x01\x1a\x06\x12\x04\x0a\x02\x18\x07";
        let reply = TxnResponse::decode(&reply[..]).unwrap();
        assert!(applied(&reply, 1) && !applied(&reply, 2));
    }
}
