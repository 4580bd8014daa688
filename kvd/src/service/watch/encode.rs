//! What a watch tells, for the wire.

use bytes::Bytes;
use kvcore::base::op::Cause;
use kvproto::v1::{self, ErrorReason as Reason, watch_response::Response};

use super::super::convert::{self, signed};
use super::super::core::{Core, Seen};
use super::super::status::Refusal;
use super::wire::{self, Reply};
use crate::backend::watch::{Batch, End, Event, EventKind, Message, Previous};
use crate::backend::{Record, Store};

/// Who encodes, and for which watch.
pub(super) struct Encoder<'a, S: Store> {
    pub(super) core: &'a Core<S>,
    pub(super) store: &'a S,
    pub(super) id: i64,
    pub(super) keys_only: bool,
}

impl<S: Store> Encoder<'_, S> {
    /// `revealed` is the newest revision that the message tells of.
    pub(super) fn response(&self, revealed: u64, response: Response) -> Reply {
        Reply::Whole(v1::WatchResponse {
            header: Some(self.header(revealed)),
            watch_id: self.id,
            response: Some(response),
        })
    }

    fn header(&self, revealed: u64) -> v1::ResponseHeader {
        let seen = Seen {
            store_revision: self.store.store_revision(),
            reveals: revealed,
            wait: None,
            wrote: false,
        };
        self.core.header(self.store, seen)
    }

    pub(super) fn position(&self, revision: Option<u64>) -> Bytes {
        revision.map_or_else(Bytes::new, |revision| self.core.shared.position(revision))
    }

    /// `state_of` is the revision at which the resync under way has begun, if there is one;
    /// `oldest` the first that the log holds.
    pub(super) fn message(&self, message: Message, state_of: Option<u64>, oldest: u64) -> Reply {
        match message {
            Message::Events(batch) => self.events(&batch, state_of),
            Message::State(records) => {
                let newest = records.iter().map(|record| record.mod_revision().0).max();
                let events = v1::WatchEvents {
                    events: records.iter().map(|record| self.state(record)).collect(),
                    revision: signed(state_of.unwrap_or_default()),
                    more_of_revision: false,
                    position: Bytes::new(),
                };
                self.response(newest.unwrap_or_default(), Response::Events(events))
            }
            Message::ResyncBegin { revision } => {
                let begin = v1::WatchResyncBegin {
                    compact_revision: signed(oldest),
                    revision: signed(revision.0),
                };
                self.response(0, Response::ResyncBegin(begin))
            }
            Message::ResyncEnd { revision } => {
                let end = v1::WatchResyncEnd {
                    revision: signed(revision.0),
                    position: self.position(Some(revision.0)),
                };
                self.response(revision.0, Response::ResyncEnd(end))
            }
        }
    }

    fn events(&self, batch: &Batch, state_of: Option<u64>) -> Reply {
        let whole = !batch.more && state_of.is_none();
        let revision = batch.revision.0;
        let mut shared = self.core.watchers.shared();
        let events = batch.events.iter();
        let events =
            events.map(|event| shared.event(event, self.keys_only, |event| self.event(event)));
        Reply::Events(wire::Events {
            header: self.header(revision),
            watch_id: self.id,
            list: events.collect(),
            revision: signed(revision),
            more_of_revision: batch.more,
            position: self.position(whole.then_some(revision)),
        })
    }

    pub(super) fn progress(&self, revision: u64) -> Reply {
        let progress = v1::WatchProgressed {
            revision: signed(revision),
            position: self.position(Some(revision)),
        };
        self.response(revision, Response::Progress(progress))
    }

    pub(super) fn canceled(
        &self,
        refusal: Option<Refusal>,
        position: Option<u64>,
        oldest: u64,
    ) -> Reply {
        let compacted = refusal
            .as_ref()
            .is_some_and(|refusal| refusal.reason() == Reason::Compacted);
        let canceled = v1::WatchCanceled {
            error: refusal.map(Refusal::into_item),
            compact_revision: if compacted { signed(oldest) } else { 0 },
            position: self.position(position),
        };
        self.response(0, Response::Canceled(canceled))
    }

    fn record(&self, record: &Record) -> v1::Record {
        let key = Bytes::copy_from_slice(record.key());
        if self.keys_only {
            return v1::Record {
                key,
                ..convert::numbers(self.store, record)
            };
        }
        convert::record(self.store, key, record)
    }

    fn state(&self, record: &Record) -> v1::Event {
        v1::Event {
            r#type: v1::EventType::Set.into(),
            cause: v1::EventCause::State.into(),
            record: Some(self.record(record)),
            ..v1::Event::default()
        }
    }

    fn event(&self, event: &Event) -> v1::Event {
        let (kind, record) = match event.kind {
            EventKind::Set => (v1::EventType::Set, self.record(&event.record)),
            EventKind::Delete => {
                let gone = v1::Record {
                    key: Bytes::copy_from_slice(event.record.key()),
                    mod_revision: signed(event.revision.0),
                    ..v1::Record::default()
                };
                (v1::EventType::Delete, gone)
            }
        };
        let previous = match &event.previous {
            Previous::Known(previous) => Some(self.record(previous)),
            Previous::Unasked | Previous::Absent | Previous::Unavailable => None,
        };
        v1::Event {
            r#type: kind.into(),
            cause: cause(event.cause).into(),
            record: Some(record),
            previous,
            previous_unavailable: matches!(event.previous, Previous::Unavailable),
            value_unavailable: event.value_unavailable && !self.keys_only,
        }
    }
}

const fn cause(cause: Cause) -> v1::EventCause {
    match cause {
        Cause::Written => v1::EventCause::Written,
        Cause::Deleted => v1::EventCause::Deleted,
        Cause::RangeDeleted => v1::EventCause::RangeDeleted,
        Cause::Expired => v1::EventCause::Expired,
        Cause::Evicted => v1::EventCause::Evicted,
        Cause::ExpiryChanged => v1::EventCause::ExpiryChanged,
    }
}

/// Why a watch is over.
pub(super) fn ended(end: &End) -> Refusal {
    let reason = match end {
        End::Compacted { .. } => Reason::Compacted,
        End::Unreadable(_) => Reason::DataLoss,
        End::Source(_) => Reason::Overloaded,
        End::Closed => Reason::Draining,
    };
    let refusal = Refusal::new(reason, end.to_string());
    match end {
        End::Compacted { oldest } => refusal.with("compact_revision", oldest.0),
        _ => refusal,
    }
}
