//! What a client asks of its stream: to begin a watch, to end one, to say how far it is.

use std::sync::atomic::Ordering;

use kvproto::v1::{
    self, ErrorReason as Reason, watch_request::Request as Ask, watch_response::Response,
};
use tokio::time::Instant;
use tonic::Status;

use super::super::create::Asked;
use super::super::entry::Entry;
use super::Session;
use crate::backend::Store;
use crate::backend::watch::Watch as _;
use crate::service::convert::{bad_number, conflict, signed, unsupported};
use crate::service::limits::{STREAM_WATCHES, WATCHES};
use crate::service::status::Refusal;

impl<S: Store> Session<S> {
    pub(super) fn take_request(&mut self, request: Option<Result<v1::WatchRequest, Status>>) {
        match request {
            None => {
                self.input = None;
                if self.watches.is_empty() {
                    self.end = Some(Ok(()));
                }
            }
            Some(Err(status)) => self.end = Some(Err(status)),
            Some(Ok(v1::WatchRequest { request })) => match request {
                Some(Ask::Create(create)) => self.create(&create),
                Some(Ask::Cancel(v1::WatchCancel { watch_id })) => self.cancel(watch_id),
                Some(Ask::Progress(v1::WatchProgress { watch_id })) => self.ask(watch_id),
                None => self.refuse(0, unsupported("request", "the message asks for nothing")),
            },
        }
    }

    /// The answer to a request that leaves everything as it is.
    pub(super) fn refuse(&mut self, id: i64, refusal: Refusal) {
        let reply = self.encoder(id).canceled(Some(refusal), None, 0);
        self.out.push_back(reply);
    }

    fn create(&mut self, create: &v1::WatchCreate) {
        let asked = create.watch_id;
        match self.begin(create) {
            Ok(id) => {
                let start = self.watches.get(&id).and_then(|entry| entry.watch.as_ref());
                let start = start.and_then(crate::backend::watch::Watch::start);
                let created = v1::WatchCreated {
                    start_revision: signed(start.unwrap_or(0)),
                };
                let reply = self.encoder(id).response(0, Response::Created(created));
                self.out.push_back(reply);
                self.ready.push_back(id);
            }
            Err(refusal) => {
                // The name of a watch that goes on must not be said to have ended.
                let taken = self.watches.contains_key(&asked);
                let id = if taken { 0 } else { asked.max(0) };
                self.refuse(id, refusal.inside("create"));
            }
        }
    }

    fn begin(&mut self, create: &v1::WatchCreate) -> Result<i64, Refusal> {
        let id = self.id_for(create.watch_id)?;
        if self.watches.len() >= STREAM_WATCHES {
            let what = format!("this stream has {STREAM_WATCHES} watches: use another one");
            return Err(Refusal::new(Reason::TooManyStreams, what).with("limit", STREAM_WATCHES));
        }
        let shared = &self.core.shared;
        let default = self.store.default_read_level();
        let asked = Asked::read(create, &shared.limits, default, shared.tag())?;
        if shared.watches.fetch_add(1, Ordering::Relaxed) >= WATCHES {
            shared.watches.fetch_sub(1, Ordering::Relaxed);
            let what = format!("there are {WATCHES} watches: end some");
            return Err(Refusal::new(Reason::TooManyStreams, what).with("limit", WATCHES));
        }
        let entered = self.enter(id, asked);
        if entered.is_err() {
            self.core.shared.watches.fetch_sub(1, Ordering::Relaxed);
        }
        entered.map(|()| id)
    }

    fn id_for(&mut self, asked: i64) -> Result<i64, Refusal> {
        if asked < 0 {
            return Err(bad_number("watch_id", "an id is not negative"));
        }
        if asked > 0 {
            if self.watches.contains_key(&asked) {
                let what = format!("watch {asked} is there already on this stream: it goes on");
                return Err(conflict("watch_id", &what));
            }
            return Ok(asked);
        }
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn enter(&mut self, id: i64, asked: Asked) -> Result<(), Refusal> {
        let keys_only = asked.want.filter.keys_only;
        let begun = self.store.watch(asked.want, asked.from);
        let mut watch = begun.map_err(|error| Refusal::from(error).inside("start"))?;
        let entered = self.core.watchers.enter(&mut watch, id, &self.link);
        let Some((ticket, heard)) = entered else {
            return Err(Refusal::new(Reason::Internal, "nobody dispatches changes"));
        };
        let now = Instant::now();
        if let Some(every) = asked.progress {
            self.timers.set(now + every, id);
        }
        let position = watch.position();
        heard.told(position.unwrap_or(0));
        let entry = Entry {
            position,
            watch: Some(watch),
            heard,
            ticket,
            keys_only,
            resync: None,
            wait: None,
            asked: None,
            every: asked.progress,
            last: now,
            due: false,
        };
        self.watches.insert(id, entry);
        Ok(())
    }

    pub(super) fn unknown(id: i64) -> Refusal {
        let what = format!("no watch {id} is on this stream; it may have ended");
        bad_number("watch_id", &what)
    }

    fn ask(&mut self, id: i64) {
        let target = self.store.store_revision();
        let asked: Vec<i64> = match id {
            0 => self.watches.keys().copied().collect(),
            id if self.watches.contains_key(&id) => vec![id],
            id => return self.refuse(id.max(0), Self::unknown(id).inside("progress")),
        };
        if id == 0 {
            if asked.is_empty() {
                let durable = self.store.positions().durable;
                let told = self.store.named(durable.min(target));
                let reply = self.encoder(0).progress(told);
                self.out.push_back(reply);
                return;
            }
            self.all_asked = Some(asked.iter().copied().collect());
        }
        for id in asked {
            if let Some(entry) = self.watches.get_mut(&id) {
                entry.asked = Some(target);
                self.ready.push_back(id);
            }
        }
    }
}
