//! The end of a run and the begin of the next: what may be lost, where numbering and the
//! clock go on.

use kvcore::{ErrorKind, Revision};

use crate::looks::equal;
use crate::ops::End;
use crate::run::{JUMP_MS, LOOK_MS, Pair};
use crate::store::Store;

impl Pair {
    pub(crate) fn restart(&mut self, end: &End, away: u64, seed: u64) -> Result<(), String> {
        self.count_rotations();
        let newest = self.model.revision();
        let store = self.store.take().expect("it runs");
        let snapshots = u64::from(seed.is_multiple_of(2) && store.snapshot());
        self.tally("snapshots", snapshots);
        let boot = store.boot_ms();
        let (ended, (logged, durable)) = store.end(end, seed);
        let clock = ended.clock.clone();
        clock.advance(away);
        let mut store = ended.start(seed)?;
        let from = store.engine.status().recovery.snapshot.is_some();
        self.tally("starts from snapshots", u64::from(from));
        let (least, most) = match end {
            End::Close | End::Crash { durable: true } => (newest, newest),
            End::Kill => (logged, newest),
            End::Crash { durable: false } | End::Cut { .. } => (durable, newest),
        };
        let found = store.engine.store_revision().0;
        if !(least..=most).contains(&found) {
            return Err(format!("back at {found}, not within {least} and {most}"));
        }
        let Some(at) = self.model.past_at(found) else {
            return Err(format!("back at {found}, which was never the newest"));
        };
        self.tally("units lost", self.model.since(found));
        // Turns that came before the end may have looked at the wall clock.
        let turned = !matches!(end, End::Kill | End::Crash { durable: false });
        if turned && boot - self.looked >= LOOK_MS && self.set_ms.abs() >= JUMP_MS {
            self.model.skew += std::mem::take(&mut self.set_ms);
        }
        let next = self.numbering(&store, *end == End::Close, found)?;
        self.model.now += away;
        self.resume(&store, at, matches!(end, End::Cut { .. }))?;
        if self.model.restart(found, next) {
            store.engine.sweep_turn();
            store.sync();
            self.model.converge(store.engine.store_revision().0);
        }
        self.looked = store.boot_ms();
        self.store = Some(store);
        self.look_at_the_wall();
        self.content()?;
        self.totals()
    }

    /// Where numbering goes on: right behind after a close, else above all that was told.
    fn numbering(&mut self, store: &Store, clean: bool, found: u64) -> Result<u64, String> {
        let status = store.engine.status();
        equal("a clean start", &clean, &status.recovery.clean_start)?;
        if clean {
            return Ok(self.model.next());
        }
        let gap = status.gaps.last().copied();
        let gap = gap.ok_or_else(|| "an unclean start without a gap".to_owned())?;
        if !gap.contains(Revision(found + 1)) || gap.contains(Revision(found)) {
            return Err(format!("back at {found}, and the gap is {gap:?}"));
        }
        let next = gap.last.0 + 1;
        if next <= self.told || next < found + Revision::JUMP {
            let told = self.told;
            return Err(format!("goes on at {next}; {told} was told"));
        }
        let kind = |revision| {
            let checked = store.engine.check_revision(Revision(revision));
            checked.err().map(|error| error.kind())
        };
        for lost in [found + 1, self.told.max(found + 1)] {
            equal(
                "a lost revision",
                &Some(ErrorKind::RevisionLost),
                &kind(lost),
            )?;
        }
        let future = Some(ErrorKind::FutureRevision);
        equal("a revision to come", &future, &kind(next))?;
        Ok(next)
    }

    /// The engine's clock goes on, with the time that the store was away counted once.
    /// What nobody has noticed of the wall clock counts as that; it never goes back behind
    /// what the log has seen.
    fn resume(&mut self, store: &Store, at: u64, cut: bool) -> Result<(), String> {
        let (skew, now) = (store.skew(), store.engine.engine_ms());
        let on = self.model.now;
        let by_wall = on.saturating_add_signed(self.set_ms);
        let (least, most) = if self.set_ms >= 0 && !cut {
            (by_wall, by_wall)
        } else {
            // Whether a jump was kept before the power went is not known.
            let jump = store.wall_ms().saturating_add_signed(-self.model.skew);
            let (low, high) = (on.min(by_wall).min(jump), on.max(by_wall).max(jump));
            (low.max(at), high)
        };
        if !cut && !(least..=most).contains(&now) {
            return Err(format!("its clock is {now}, not within {least} and {most}"));
        }
        if now < at {
            return Err(format!("its clock is {now}, the log has seen {at}"));
        }
        // What users are shown moves only if the wall clock was set.
        let off = store.wall_ms().cast_signed() - now.cast_signed();
        let set = (off - self.model.skew).abs() >= JUMP_MS;
        let wanted = if set { off } else { self.model.skew };
        if !cut {
            equal("wall clock less engine's at a start", &wanted, &skew)?;
        }
        self.model.now = now;
        self.model.skew = skew;
        // What is left of a small jump has neither passed for absence nor been noticed.
        let shown = now.saturating_add_signed(skew);
        self.set_ms = store.wall_ms().cast_signed() - shown.cast_signed();
        Ok(())
    }
}
