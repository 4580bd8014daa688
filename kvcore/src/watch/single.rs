//! One watch from its beginning to its end.
//!
//! ```text
//!  start ──► Live ◄──────────────────────────────── ResyncEnd{E}
//!              │ log gone, and resync asked for          ▲
//!              ▼                                         │ told up to E
//!            Begin{S} ──► State: pages ──► CatchUp: the changes of (S, E]
//! ```
//! **The rule of a resync.** S is the newest revision before the first page is looked at, E
//! the newest one after the last. Each page shows its records as they were at some moment
//! between. Then the changes of (S, E] are told, in order. Whoever forgets what he knew of
//! the range at the beginning, takes each record and then each change as it comes, holds
//! exactly the state of E at the end: a key that did not change in (S, E] was shown as it is,
//! or not at all if it is absent; of one that did change the last change decides. Until the
//! end there is no position to resume from.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cursor::{Batch, Broken, Budget, Cursor, Level, Step};
use super::dispatch::Hits;
use super::event::{Filter, weight};
use super::hub::Hub;
use crate::base::broken;
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::store::Record;

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With this revision.
    At(Revision),
    /// With the current records.
    CurrentState,
}

/// What becomes of a watch when the log no longer holds what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCompacted {
    #[default]
    Cancel,
    /// It gets the current records, and goes on.
    Resync,
}

/// What a watch is to tell.
#[derive(Clone, Debug)]
pub struct Want {
    pub range: KeyRange,
    pub filter: Filter,
    pub level: Level,
    pub on_compacted: OnCompacted,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Message {
    Events(Batch),
    /// What was known of the range is void. The state that follows is that of `revision` or
    /// a later one.
    ResyncBegin {
        revision: Revision,
    },
    /// Some of the records that exist.
    State(Vec<Record>),
    /// What was told since the beginning is the state of this revision.
    ResyncEnd {
        revision: Revision,
    },
}

/// What a turn came to.
#[derive(Debug)]
pub enum Turn {
    Message(Message),
    /// Everything up to this revision has been told. Nothing to do before there is more.
    Idle(Revision),
    /// Take another turn.
    Again,
    /// Call [`Watch::read`], which may wait.
    Read,
    /// Nothing to do before the watch's level has reached this revision.
    Wait(Revision),
}

/// Why a watch ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum End {
    #[error(
        "the log begins at revision {oldest} and what the watch needs is before it: begin with \
         the current state, or ask for a resync"
    )]
    Compacted { oldest: Revision },
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
    #[error("the current records cannot be told: {0}")]
    Source(String),
    #[error("the store is being closed")]
    Closed,
}

/// Records of the store as it is.
pub trait Source {
    /// The newest revision.
    fn newest(&self) -> Revision;
    /// The next records of a range, behind `after`. May wait.
    ///
    /// # Errors
    /// The store cannot tell; the reason.
    fn page(&self, range: &KeyRange, after: Option<&[u8]>, budget: Budget) -> Result<Page, String>;
}

/// Some records in order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where to go on. None: that was all.
    pub next: Option<Vec<u8>>,
    /// What must be durable before it may be shown at DURABLE.
    pub revealed: Revision,
}

#[derive(Debug)]
enum Phase {
    Live,
    Begin,
    State {
        start: Revision,
        after: Option<Vec<u8>>,
        page: Option<Page>,
    },
    CatchUp {
        end: Revision,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    cursor: Cursor,
    level: Level,
    on_compacted: OnCompacted,
    phase: Phase,
    /// What a dispatcher has noted for it, if there is one.
    hits: Option<Arc<Hits>>,
}

impl Watch {
    /// `start` must have been checked against the store.
    pub fn new(hub: &Arc<Hub>, want: Want, start: Start) -> Self {
        let Want {
            range,
            filter,
            level,
            on_compacted,
        } = want;
        let (next, phase) = match start {
            Start::At(next) => (next, Phase::Live),
            Start::CurrentState => (Revision::START, Phase::Begin),
        };
        Self {
            hub: hub.clone(),
            cursor: Cursor::new(hub.clone(), range, filter, next),
            level,
            on_compacted,
            phase,
            hits: None,
        }
    }

    /// From now on it looks only where `hits` says that there is something.
    pub fn follow(&mut self, hits: Arc<Hits>) {
        self.hits = Some(hits);
    }

    pub fn level(&self) -> Level {
        self.level
    }

    pub fn range(&self) -> &KeyRange {
        &self.cursor.range
    }

    pub fn filter(&self) -> Filter {
        self.cursor.filter
    }

    /// The last revision that has been told whole, to resume behind it. None during a resync.
    pub fn position(&self) -> Option<Revision> {
        matches!(self.phase, Phase::Live).then(|| self.hub.named(self.told()))
    }

    /// The first revision that it can tell of. None: it begins with the current records.
    pub fn start(&self) -> Option<Revision> {
        matches!(self.phase, Phase::Live).then(|| self.cursor.next())
    }

    /// How many revisions it is behind what it may tell.
    pub fn lag(&self) -> u64 {
        let limit = self.hub.limit(self.level).next();
        if matches!(self.phase, Phase::Live) && self.has_hits() {
            limit.0.saturating_sub(self.cursor.next().0)
        } else {
            0
        }
    }

    /// Whether a poll could tell something. False: nothing was noted for it; whoever notes
    /// something from here on wakes it.
    pub fn is_due(&self) -> bool {
        !matches!(self.phase, Phase::Live) || self.cursor.inside() || self.has_hits()
    }

    fn has_hits(&self) -> bool {
        let next = self.cursor.next();
        self.hits
            .as_ref()
            .is_none_or(|hits| hits.target(next).is_some())
    }

    /// Does what can be done at once.
    pub fn poll(&mut self, budget: Budget) -> Turn {
        let limit = self.hub.limit(self.level);
        match &mut self.phase {
            Phase::Live => self.live(limit, budget),
            Phase::Begin => Turn::Read,
            Phase::State { page, .. } => {
                let Some(ready) = page else {
                    return Turn::Read;
                };
                if ready.revealed > limit {
                    return Turn::Wait(ready.revealed);
                }
                let keys_only = self.cursor.filter.keys_only;
                let count = fits(&ready.records, keys_only, budget);
                let rest = ready.records.split_off(count);
                let records = std::mem::replace(&mut ready.records, rest);
                if !ready.records.is_empty() {
                    return Turn::Message(Message::State(records));
                }
                self.page_told(records)
            }
            &mut Phase::CatchUp { end } => {
                if end > limit {
                    return Turn::Wait(end);
                }
                match self.cursor.poll(end, budget) {
                    Step::Told => self.caught_up(end),
                    step => step.into_turn(),
                }
            }
        }
    }

    /// As [`Watch::poll`], and does what may have to wait for a disk or a lock.
    ///
    /// # Errors
    /// See [`End`]; the watch is over.
    pub fn read(&mut self, source: &dyn Source, budget: Budget) -> Result<Turn, End> {
        let limit = self.hub.limit(self.level);
        let read = match &mut self.phase {
            Phase::Live => match self.next_upto(limit) {
                Some(upto) => self.cursor.read(upto, budget),
                None => return Ok(Turn::Again),
            },
            Phase::Begin => {
                let start = source.newest();
                self.phase = Phase::State {
                    start,
                    after: None,
                    page: None,
                };
                if broken::is(broken::Build::ResyncWithoutAbsences) {
                    return Ok(Turn::Again);
                }
                return Ok(Turn::Message(Message::ResyncBegin { revision: start }));
            }
            Phase::State { page: Some(_), .. } => return Ok(self.poll(budget)),
            Phase::State { after, page, .. } => {
                let range = &self.cursor.range;
                let found = source.page(range, after.as_deref(), budget);
                *page = Some(found.map_err(End::Source)?);
                // Is what comes next to be looked at only when this is on its way?
                let end = source.newest();
                return Ok(self.page_read(end));
            }
            &mut Phase::CatchUp { end } if end > limit => return Ok(Turn::Wait(end)),
            &mut Phase::CatchUp { end } => match self.cursor.read(end, budget) {
                Ok(Step::Told) => return Ok(self.caught_up(end)),
                step => step,
            },
        };
        match read {
            Ok(step) => Ok(step.into_turn()),
            Err(Broken::Io(error)) => Err(End::Unreadable(error.to_string())),
            Err(Broken::Compacted) => self.compacted(),
        }
    }

    fn live(&mut self, limit: Revision, budget: Budget) -> Turn {
        let Some(hits) = &self.hits else {
            return match self.cursor.poll(limit, budget) {
                Step::Told => Turn::Idle(self.told()),
                step => step.into_turn(),
            };
        };
        // Read first: what is noted afterwards lies behind it.
        let position = hits.position().min(limit);
        match self.cursor.poll_hits(hits, limit, budget) {
            Step::Told => {
                self.cursor.skip_to(position.next());
                Turn::Idle(self.told())
            }
            step => step.into_turn(),
        }
    }

    /// Up to where there is something to look at. None: there is nothing.
    fn next_upto(&mut self, limit: Revision) -> Option<Revision> {
        match &self.hits {
            None => (self.cursor.next() <= limit).then_some(limit),
            Some(hits) => self.cursor.go_to_hit(hits).map(|upto| upto.min(limit)),
        }
    }

    /// The last revision that has been told whole.
    fn told(&self) -> Revision {
        Revision(self.cursor.next().0 - 1)
    }

    /// A page has been looked at; the end is known if it was the last.
    fn page_read(&mut self, end: Revision) -> Turn {
        if let Phase::State {
            page: Some(page), ..
        } = &mut self.phase
            && page.next.is_none()
        {
            // Kept with the page: nobody looks at the store again before the end.
            page.revealed = page.revealed.max(end);
        }
        Turn::Again
    }

    /// The page at hand is on its way.
    fn page_told(&mut self, records: Vec<Record>) -> Turn {
        let Phase::State { start, after, page } = &mut self.phase else {
            return Turn::Again;
        };
        let Some(Page { next, revealed, .. }) = page.take() else {
            return Turn::Again;
        };
        if next.is_none() {
            let (start, end) = (*start, revealed);
            self.cursor.go_to(start.next());
            self.phase = Phase::CatchUp { end };
        } else {
            *after = next;
        }
        if records.is_empty() {
            Turn::Again
        } else {
            Turn::Message(Message::State(records))
        }
    }

    fn caught_up(&mut self, end: Revision) -> Turn {
        self.cursor.skip_to(end.next());
        self.phase = Phase::Live;
        Turn::Message(Message::ResyncEnd { revision: end })
    }

    fn compacted(&mut self) -> Result<Turn, End> {
        let counters = &self.hub.counters;
        // A part of a revision was told: the rest of it is void like the part.
        if self.on_compacted == OnCompacted::Cancel && matches!(self.phase, Phase::Live) {
            counters.compacted.fetch_add(1, Ordering::Relaxed);
            return Err(End::Compacted {
                oldest: self.hub.oldest(),
            });
        }
        counters.resyncs.fetch_add(1, Ordering::Relaxed);
        self.phase = Phase::Begin;
        Ok(Turn::Again)
    }
}

impl Step {
    fn into_turn(self) -> Turn {
        match self {
            Self::Events(batch) => Turn::Message(Message::Events(batch)),
            Self::Told | Self::Again => Turn::Again,
            Self::Read => Turn::Read,
        }
    }
}

/// How many of `records` a message has room for; at least one.
fn fits(records: &[Record], keys_only: bool, budget: Budget) -> usize {
    let mut bytes = 0;
    let over = records.iter().position(|record| {
        bytes += weight(record, keys_only) + 32;
        bytes > budget.bytes
    });
    over.unwrap_or(records.len())
        .min(budget.events)
        .max(1)
        .min(records.len())
}
