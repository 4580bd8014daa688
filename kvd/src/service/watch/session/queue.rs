//! Whose turn it is, and what a turn comes to: a message, a read, a wait, or nothing yet.
//!
//! ```text
//!  ready ─► turn ─┬─ a message ─► out, and ready again
//!    ▲            ├─ a read ────► to_read ─► a thread that may block ─► as a turn
//!    │            ├─ a wait ────► waiting ─► the log is there ─┐
//!    │            └─ nothing: until the dispatcher notes some  │
//!    └─────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use tokio::time::Instant;

use super::super::encode::ended;
use super::super::entry::Wait;
use super::{BUDGET, Session, TURN};
use crate::backend::Store;
use crate::backend::watch::{End, Level, Message, Turn, Watch};
use crate::service::status::Refusal;
use crate::waiter::{self, Unreached};

impl<S: Store> Session<S> {
    /// A watch has its turn.
    pub(super) fn turn(&mut self, id: i64) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        entry.heard.turn();
        // While it waits or is being read for, its turn comes by itself.
        if entry.wait.as_ref().is_some_and(|wait| wait.blocks) {
            return;
        }
        let Some(watch) = &mut entry.watch else {
            return;
        };
        let turn = watch.poll(BUDGET);
        self.went(id, turn);
    }

    fn went(&mut self, id: i64, turn: Turn) {
        match turn {
            Turn::Message(message) => self.message(id, message),
            Turn::Again => self.ready.push_back(id),
            Turn::Read => {
                self.to_read.push_back(id);
                self.start_read();
            }
            Turn::Wait(revision) => self.wait(id, revision.0, true),
            Turn::Idle(_) => self.idle(id),
        }
    }

    fn message(&mut self, id: i64, message: Message) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        if let Message::ResyncBegin { revision } = &message {
            entry.resync = Some(revision.0);
        }
        let state_of = entry.resync;
        if matches!(message, Message::ResyncEnd { .. }) {
            entry.resync = None;
        }
        if let Some(watch) = &entry.watch {
            entry.position = watch.position();
            entry.heard.told(entry.position.unwrap_or(0));
        }
        entry.last = Instant::now();
        if std::mem::take(&mut entry.due)
            && let Some(every) = entry.every
        {
            self.timers.set(entry.last + every, id);
        }
        // With nothing more to tell and nobody who asks, another turn would come to nothing.
        let again = entry.asked.is_some() || entry.watch.as_ref().is_none_or(Watch::is_due);
        let oldest = match (&message, &entry.watch) {
            (Message::ResyncBegin { .. }, Some(watch)) => watch.oldest(),
            _ => 0,
        };
        let reply = self.encoder(id).message(message, state_of, oldest);
        self.out.push_back(reply);
        if again {
            self.ready.push_back(id);
        }
    }

    /// Everything there is was told.
    fn idle(&mut self, id: i64) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        let Some(watch) = &entry.watch else {
            return;
        };
        let level = watch.level();
        entry.position = watch.position();
        let told = entry.position.unwrap_or(0);
        entry.heard.told(told);
        if let Some(target) = entry.asked
            && told < target
        {
            let reached = level_of(level).of(self.store.positions()) >= target;
            if reached {
                // The dispatcher has yet to come there.
                self.since_turn = TURN;
                self.ready.push_back(id);
            } else {
                self.wait(id, target, false);
            }
            return;
        }
        let asked = entry.asked.take().is_some();
        let due = std::mem::take(&mut entry.due);
        if due && let Some(every) = entry.every {
            entry.last = Instant::now();
            self.timers.set(entry.last + every, id);
        }
        let for_all = asked && self.all_asked.as_ref().is_some_and(|all| all.contains(&id));
        if due || (asked && !for_all) {
            let reply = self.encoder(id).progress(told);
            self.out.push_back(reply);
        }
        if asked {
            self.all_told(id);
        }
    }

    fn wait(&mut self, id: i64, revision: u64, blocks: bool) {
        let Some(entry) = self.watches.get_mut(&id) else {
            return;
        };
        let level = entry.ticket.level;
        entry.wait = Some(Wait {
            revision,
            level: level_of(level),
            place: None,
            blocks,
        });
        self.waiting.push(id);
    }

    pub(super) fn waited(&mut self, id: i64, ended: Result<(), Unreached>) {
        self.waiting.retain(|other| *other != id);
        let wait = self.watches.get_mut(&id).and_then(|e| e.wait.take());
        let Some(wait) = wait else {
            return;
        };
        if let Some(place) = &wait.place {
            self.core.waiters.leave(place);
        }
        match ended {
            Ok(()) => self.ready.push_back(id),
            // Nobody set this wait a time.
            Err(Unreached::Deadline) => self.wait(id, wait.revision, wait.blocks),
            Err(unreached) if wait.blocks => {
                let refusal = Refusal::read_unreached(&unreached, wait.revision);
                self.end_watch(id, Some(refusal));
            }
            // What was asked for will not come; the watch goes on.
            Err(_) => {
                if let Some(entry) = self.watches.get_mut(&id) {
                    entry.asked = None;
                }
                self.all_told(id);
            }
        }
    }

    fn start_read(&mut self) {
        while self.reading.is_none()
            && let Some(id) = self.to_read.pop_front()
        {
            let entry = self.watches.get_mut(&id);
            let Some(mut watch) = entry.and_then(|entry| entry.watch.take()) else {
                continue;
            };
            let permits = Arc::clone(&self.core.shared.watch_reads);
            self.reading = Some(Box::pin(async move {
                let permit = permits.acquire_owned().await.ok()?;
                let read = tokio::task::spawn_blocking(move || {
                    let turn = watch.read(BUDGET);
                    drop(permit);
                    (id, watch, turn)
                });
                read.await.ok()
            }));
        }
    }

    pub(super) fn was_read(&mut self, id: i64, watch: S::Watch, turn: Result<Turn, End>) {
        // It may have been ended meanwhile, and another one given its id.
        if let Some(entry) = self.watches.get_mut(&id)
            && entry.watch.is_none()
        {
            entry.watch = Some(watch);
            match turn {
                Ok(turn) => self.went(id, turn),
                Err(end) => self.end_watch(id, Some(ended(&end))),
            }
        }
        self.start_read();
    }

    pub(super) fn timer_fired(&mut self) {
        let (timers, watches) = (&mut self.timers, &mut self.watches);
        let ready = &mut self.ready;
        timers.due(Instant::now(), watches, |id| ready.push_back(id));
    }
}

const fn level_of(level: Level) -> waiter::Level {
    match level {
        Level::Durable => waiter::Level::Durable,
        Level::Latest => waiter::Level::Logged,
    }
}
