//! The engine's own time, which deadlines are measured in.
//!
//! ```text
//!  engine = boot clock + offset      runs evenly, goes on through suspend, never goes back
//!  wall   = engine + skew            what users are shown and may name
//! ```
//! The wall clock is looked at twice: at a start, to learn how long the store was away,
//! and once a second, to notice that somebody has set it. A jump changes what users are
//! shown; it moves no deadline. Between jumps the skew is a constant, so a moment that a
//! user names comes back unchanged, also after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::clock::Clock;

/// A wall clock that moves this far against the engine's has been set.
const JUMP_MS: i64 = 1000;

/// Engine time and wall time of one moment, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub engine_ms: u64,
    pub wall_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub struct EngineClock {
    clock: Arc<dyn Clock>,
    /// Engine less boot, ms.
    offset: i64,
    /// Wall less engine, ms.
    skew: AtomicI64,
    jumps: AtomicU64,
}

impl EngineClock {
    /// The clock of a new store: it begins as the wall clock.
    pub fn begin(clock: Arc<dyn Clock>) -> Self {
        let wall = clock.wall_ms();
        Self::at(clock, wall, 0)
    }

    /// The clock of a store that was away: it goes on where the log ended, or where the
    /// wall clock says that it would be by now if nobody had stopped it. The skew stays as
    /// it was recorded unless the wall clock was set meanwhile: the two clocks are read one
    /// after the other and tick apart, and users would see moments move by that.
    pub fn resume(clock: Arc<dyn Clock>, recorded: Moment, newest_engine_ms: u64) -> Self {
        let wall = clock.wall_ms();
        let away = wall.saturating_sub(recorded.wall_ms);
        let engine = recorded.engine_ms.saturating_add(away);
        let engine = engine.max(newest_engine_ms);
        let before = difference(recorded.wall_ms, recorded.engine_ms);
        let now = difference(wall, engine);
        let was_set = now.abs_diff(before) >= JUMP_MS.unsigned_abs();
        Self::at(clock, engine, if was_set { now } else { before })
    }

    fn at(clock: Arc<dyn Clock>, engine_ms: u64, skew: i64) -> Self {
        Self {
            offset: engine_ms
                .cast_signed()
                .wrapping_sub(clock.boot_ms().cast_signed()),
            skew: AtomicI64::new(skew),
            jumps: AtomicU64::new(0),
            clock,
        }
    }

    /// Engine time, ms.
    pub fn now(&self) -> u64 {
        let boot = self.clock.boot_ms().cast_signed();
        boot.wrapping_add(self.offset).cast_unsigned()
    }

    /// Now in both clocks, to be kept for the next start.
    pub fn moment(&self) -> Moment {
        let engine_ms = self.now();
        Moment {
            engine_ms,
            wall_ms: self.wall_of(engine_ms),
        }
    }

    /// What users are shown for a moment of the engine.
    pub fn wall_of(&self, engine_ms: u64) -> u64 {
        engine_ms.saturating_add_signed(self.skew.load(Ordering::Relaxed))
    }

    /// The engine's moment for one that a user names; 0 if that lies before its beginning.
    pub fn engine_of(&self, wall_ms: u64) -> u64 {
        wall_ms.saturating_add_signed(-self.skew.load(Ordering::Relaxed))
    }

    /// Looks whether the wall clock was set; by how many ms, if so.
    pub fn notice_jump(&self) -> Option<i64> {
        let moment = self.moment();
        let moved = difference(self.clock.wall_ms(), moment.wall_ms);
        if moved.abs() < JUMP_MS {
            return None;
        }
        self.skew.fetch_add(moved, Ordering::Relaxed);
        self.jumps.fetch_add(1, Ordering::Relaxed);
        Some(moved)
    }

    /// How often the wall clock was set since the start.
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    /// The machine's clocks, for pacing.
    pub fn machine(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

fn difference(a: u64, b: u64) -> i64 {
    a.cast_signed().wrapping_sub(b.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    fn recorded(clock: &EngineClock) -> Moment {
        clock.moment()
    }

    #[test]
    fn a_named_moment_comes_back_unchanged_also_after_a_restart() {
        let machine = Arc::new(ManualClock::default());
        let clock = EngineClock::begin(machine.clone());
        let named = machine.wall_ms() + 60_000;
        let deadline = clock.engine_of(named);
        assert_eq!(clock.wall_of(deadline), named);
        machine.advance(5_000);
        let moment = recorded(&clock);
        machine.advance(7_000);
        let clock = EngineClock::resume(machine.clone(), moment, moment.engine_ms);
        assert_eq!(clock.wall_of(deadline), named);
        assert_eq!(
            clock.now() - moment.engine_ms,
            7_000,
            "it was away that long"
        );
    }

    /// A machine whose clocks tick whenever one of them is read.
    #[derive(Debug, Default)]
    struct Ticking(ManualClock);

    impl Clock for Ticking {
        fn boot_ms(&self) -> u64 {
            self.0.advance(1);
            self.0.boot_ms()
        }

        fn wall_ms(&self) -> u64 {
            self.0.advance(1);
            self.0.wall_ms()
        }

        fn instant(&self) -> std::time::Duration {
            self.0.instant()
        }

        fn rest(&self, time: std::time::Duration) {
            self.0.rest(time);
        }
    }

    #[test]
    fn no_restart_moves_a_moment_however_the_clocks_tick() {
        let machine: Arc<dyn Clock> = Arc::new(Ticking::default());
        let mut clock = EngineClock::begin(machine.clone());
        let deadline = clock.now() + 60_000;
        let shown = clock.wall_of(deadline);
        for newest in 0..100 {
            let moment = clock.moment();
            clock = EngineClock::resume(machine.clone(), moment, clock.now() + newest % 3);
            assert_eq!(clock.wall_of(deadline), shown);
        }
    }

    #[test]
    fn time_that_the_log_has_seen_is_not_counted_twice() {
        let machine = Arc::new(ManualClock::default());
        let clock = EngineClock::begin(machine.clone());
        let moment = recorded(&clock);
        machine.advance(10_000);
        let newest = clock.now();
        machine.advance(3_000);
        let clock = EngineClock::resume(machine.clone(), moment, newest);
        assert_eq!(clock.now(), newest + 3_000);
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_no_deadline() {
        for jump in [365 * 86_400_000_i64, -86_400_000] {
            let machine = Arc::new(ManualClock::default());
            let clock = EngineClock::begin(machine.clone());
            let (before, shown) = (clock.now(), clock.wall_of(clock.now() + 1000));
            machine.jump_wall(jump);
            assert_eq!(clock.notice_jump(), Some(jump));
            assert_eq!((clock.notice_jump(), clock.jumps()), (None, 1));
            assert_eq!(clock.now(), before);
            assert_eq!(
                clock.wall_of(before + 1000),
                shown.saturating_add_signed(jump)
            );
        }
    }

    #[test]
    fn a_wall_clock_behind_at_the_start_takes_no_time_back() {
        let machine = Arc::new(ManualClock::default());
        let clock = EngineClock::begin(machine.clone());
        machine.advance(10_000);
        let moment = recorded(&clock);
        machine.jump_wall(-3_600_000);
        let clock = EngineClock::resume(machine, moment, moment.engine_ms + 5);
        assert_eq!(clock.now(), moment.engine_ms + 5);
    }
}
