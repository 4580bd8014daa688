//! Calls at a fixed rate: the slots of a run take turns, and a call that is sent late
//! because those before it were slow counts from the moment it was due.

use std::time::{Duration, Instant};

use super::Drive;

/// How late a timer may be. A call that is sent later than that was held up by those
/// before it, and the time that it waited counts.
const TIMER: Duration = Duration::from_micros(1_500);
/// When a slot's calls are due, if they come at a fixed rate.
pub(super) struct Turns {
    due: Instant,
    every: Option<Duration>,
}

impl Turns {
    pub(super) fn new(drive: &Drive, begun: Instant, slot: usize) -> Self {
        let slots = drive.shape.calls_in_flight();
        let apart = drive.rate.map(|rate| Duration::from_secs(1) / rate.max(1));
        let whole = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            due: begun + apart.unwrap_or_default() * whole(slot),
            every: apart.map(|apart| apart * whole(slots)),
        }
    }

    /// Waits for the next turn; from when on the call's time counts.
    pub(super) fn next(&mut self) -> Option<impl Future<Output = Instant> + use<>> {
        let due = self.due;
        self.due += self.every?;
        Some(async move {
            tokio::time::sleep_until(due.into()).await;
            Instant::now().min(due + TIMER)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::on_this_thread;
    use crate::shapes::Shape;

    #[test]
    fn at_a_fixed_rate_slots_take_turns_and_waiting_counts() {
        let drive = Drive {
            rate: Some(1_000),
            ..Drive::closed(Shape::new(2, 2), 1)
        };
        let begun = Instant::now();
        let mut turns = Turns::new(&drive, begun, 3);
        assert_eq!(turns.due, begun + Duration::from_millis(3));
        let turn = turns.next().unwrap();
        assert_eq!(turns.due, begun + Duration::from_millis(7));
        let limit = Duration::from_secs(60);
        let began = on_this_thread(limit, async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(turn.await)
        });
        assert_eq!(began.unwrap(), begun + Duration::from_millis(3) + TIMER);
        let closed = Drive::closed(Shape::new(2, 2), 1);
        assert!(Turns::new(&closed, begun, 3).next().is_none());
    }
}
