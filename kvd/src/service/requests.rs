//! What a request that changes something asks for as a whole: how durable, and under
//! which id it is remembered.

use std::hash::Hasher as _;

use kvproto::v1::{self, ErrorReason as Reason};
use prost::Message;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::convert;
use super::limits::REQUEST_ID_BYTES;
use super::status::Refusal;
use crate::backend::{Durability, Error, ReadLevel, RequestId, Store};

/// A request that changes something.
pub(super) trait Mutating: Message + Clone {
    const NAME: &'static str;
    fn options(&self) -> Option<&v1::WriteOptions>;
    fn without_options(&self) -> Self;
}

macro_rules! mutating {
    ($($name:literal $request:ident),* $(,)?) => {
        $(impl Mutating for v1::$request {
            const NAME: &'static str = $name;

            fn options(&self) -> Option<&v1::WriteOptions> {
                self.options.as_ref()
            }

            fn without_options(&self) -> Self {
                let mut bare = self.clone();
                bare.options = None;
                bare
            }
        })*
    };
}

mutating!(
    "Set" SetRequest,
    "Delete" DeleteRequest,
    "Increment" IncrementRequest,
    "Expire" ExpireRequest,
    "BatchWrite" BatchWriteRequest,
    "Txn" TxnRequest,
    "DeleteRange" DeleteRangeRequest,
);

/// The options of a write, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) durability: Durability,
    pub(super) request: Option<RequestId<'a>>,
}

impl<'a> Asked<'a> {
    pub(super) fn of<S: Store, R: Mutating>(request: &'a R, store: &S) -> Result<Self, Refusal> {
        let options = request.options();
        let durability = convert::durability(options, store.default_durability())?;
        let request = match options {
            Some(options) if !options.request_id.is_empty() => {
                Some(request_id(&options.request_id, request)?)
            }
            _ => None,
        };
        Ok(Self {
            durability,
            request,
        })
    }

    /// An error that depends on data is told like something read: where reads are
    /// durable, when that is.
    pub(super) fn told<S: Store>(&self, store: &S, error: Error) -> Refusal {
        let refusal = Refusal::from(error);
        if shows_durable(store, self.durability) {
            refusal
        } else {
            refusal.revealing(0)
        }
    }
}

/// Whether what a write shows without changing it has to be durable.
pub(super) fn shows_durable<S: Store>(store: &S, durability: Durability) -> bool {
    durability == Durability::Synced || store.default_read_level() == ReadLevel::Durable
}

fn request_id<'a>(id: &'a [u8], request: &impl Mutating) -> Result<RequestId<'a>, Refusal> {
    if id.len() > REQUEST_ID_BYTES {
        return Err(Refusal::new(
            Reason::BadRequestId,
            format!(
                "the request id has {} bytes; the limit is {REQUEST_ID_BYTES}",
                id.len()
            ),
        )
        .field("options.request_id")
        .with("size", id.len())
        .with("limit", REQUEST_ID_BYTES));
    }
    Ok(RequestId {
        id,
        fingerprint: fingerprint(request),
        item: 0,
    })
}

/// The same for the same request, for ever: it is kept in the log. How it was asked to
/// be written is no part of it, so that a retry may ask for less.
fn fingerprint<R: Mutating>(request: &R) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(R::NAME.as_bytes());
    hasher.write(&[0]);
    hasher.write(&request.without_options().encode_to_vec());
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_call_and_its_body_and_stays_the_same() {
        let set = v1::SetRequest {
            key: "k".into(),
            value: "v".into(),
            ..v1::SetRequest::default()
        };
        let retried = v1::SetRequest {
            options: Some(v1::WriteOptions {
                request_id: "r".into(),
                ..v1::WriteOptions::default()
            }),
            ..set.clone()
        };
        assert_eq!(fingerprint(&set), fingerprint(&retried));
        let other = v1::SetRequest {
            return_previous: true,
            ..set.clone()
        };
        assert_ne!(fingerprint(&set), fingerprint(&other));
        let key = bytes::Bytes::from("k");
        let delete = v1::DeleteRequest {
            key: key.clone(),
            ..v1::DeleteRequest::default()
        };
        let increment = v1::IncrementRequest {
            key,
            ..v1::IncrementRequest::default()
        };
        assert_eq!(delete.encode_to_vec(), increment.encode_to_vec());
        assert_ne!(fingerprint(&delete), fingerprint(&increment));
        // Stored in logs: a change here makes every remembered request a stranger.
        assert_eq!(
            fingerprint(&delete),
            279_400_787_362_986_085_123_499_728_072_586_267_678
        );
    }
}
