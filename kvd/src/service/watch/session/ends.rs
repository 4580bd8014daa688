//! How a watch ends, and how the stream does.
//!
//! A watch ends with its `canceled`, which says why and where to go on, and leaves the
//! dispatcher and the log's waiters. The stream ends when its client wants nothing more and
//! its last watch is gone, or with a status: a drain, or a broken request stream.

use std::sync::atomic::Ordering;

use kvproto::v1::ErrorReason as Reason;
use tonic::{Code, Status};

use super::super::entry::Entry;
use super::super::wire::Reply;
use super::Session;
use crate::backend::Store;
use crate::service::status::Refusal;
use crate::telemetry::stats::Rpc;

impl<S: Store> Session<S> {
    pub(super) fn cancel(&mut self, id: i64) {
        if self.watches.contains_key(&id) {
            self.end_watch(id, None);
        } else {
            self.refuse(id.max(0), Self::unknown(id).inside("cancel"));
        }
        if self.input.is_none() && self.watches.is_empty() {
            self.end = Some(Ok(()));
        }
    }

    pub(super) fn finish(&mut self, end: Result<(), Status>) -> Option<Result<Reply, Status>> {
        match end {
            Ok(()) => {
                self.code = Code::Ok;
                None
            }
            Err(status) => {
                self.code = status.code();
                self.end = Some(Ok(()));
                Some(Err(status))
            }
        }
    }

    /// The last message of a watch.
    pub(super) fn end_watch(&mut self, id: i64, refusal: Option<Refusal>) {
        let Some(entry) = self.watches.get(&id) else {
            return;
        };
        let oldest = entry.watch.as_ref();
        let oldest = oldest.map_or(0, crate::backend::watch::Watch::oldest);
        let position = entry.position;
        let reply = self.encoder(id).canceled(refusal, position, oldest);
        self.out.push_back(reply);
        if let Some(entry) = self.watches.remove(&id) {
            self.leave(entry);
        }
        self.all_told(id);
        if self.input.is_none() && self.watches.is_empty() && self.end.is_none() {
            self.end = Some(Ok(()));
        }
    }

    /// A watch has told all that progress of the stream was asked for, or has ended.
    pub(super) fn all_told(&mut self, id: i64) {
        let Some(all) = &mut self.all_asked else {
            return;
        };
        all.remove(&id);
        if !all.is_empty() {
            return;
        }
        self.all_asked = None;
        let told = self.watches.values().filter_map(|entry| entry.position);
        let store = self.store.positions().durable;
        let told = told.min().unwrap_or_else(|| self.store.named(store));
        let reply = self.encoder(0).progress(told);
        self.out.push_back(reply);
    }

    pub(super) fn leave(&self, entry: Entry<S>) {
        self.core.watchers.leave(&entry.ticket);
        self.core.shared.watches.fetch_sub(1, Ordering::Relaxed);
        if let Some(place) = entry.wait.and_then(|wait| wait.place) {
            self.core.waiters.leave(&place);
        }
    }

    /// A drain ends one watch after the other, then the stream.
    pub(super) fn drain_one(&mut self) {
        match self.watches.keys().next().copied() {
            Some(id) => self.end_watch(id, Some(draining())),
            None => self.end = Some(Err(draining().into_status())),
        }
    }
}

impl<S: Store> Drop for Session<S> {
    fn drop(&mut self) {
        let watches = std::mem::take(&mut self.watches);
        for entry in watches.into_values() {
            self.leave(entry);
        }
        self.span.end(self.code, None);
        self.core.stats.exit(Rpc::Watch, self.code, None);
    }
}

pub(super) fn draining() -> Refusal {
    Refusal::new(
        Reason::Draining,
        "the server is stopping: open a stream to its successor and go on from the position",
    )
}
