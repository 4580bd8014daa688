//! What kvd does to count an operation, by itself.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvd::telemetry::stats::{Rpc, Stats};
use tonic::Code;

use crate::Result;
use crate::contents::SplitMix;
use crate::micro::ns_each;
use crate::report::median;

const OPERATIONS: u32 = 2_000_000;
const ROUNDS: usize = 5;

/// ns of CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counting {
    /// One count of an operation and of its time.
    pub(super) count: f64,
    /// One addition to a number that others may read.
    pub(super) add: f64,
    /// One look at the clock.
    pub(super) clock: f64,
}

impl Counting {
    pub(super) fn measure() -> Result<Self> {
        let stats = Box::<Stats>::default();
        let rounds = |work: &dyn Fn()| -> Result<f64> {
            let each = (0..ROUNDS).map(|_| {
                ns_each(OPERATIONS, || {
                    work();
                    Ok(())
                })
            });
            Ok(median(each.collect::<Result<_>>()?))
        };
        let times = rounds(&|| {
            let mut random = SplitMix(1);
            for _ in 0..OPERATIONS {
                black_box(took(&mut random));
            }
        })?;
        let counts = rounds(&|| {
            let mut random = SplitMix(1);
            for number in 0..OPERATIONS {
                let rpc = if number % 2 == 0 { Rpc::Get } else { Rpc::Set };
                stats.operations_ended(black_box(rpc), Code::Ok, took(&mut random), 1);
            }
        })?;
        let begun = AtomicU64::new(0);
        let add = rounds(&|| {
            for _ in 0..OPERATIONS {
                black_box(begun.fetch_add(1, Ordering::Relaxed));
            }
        })?;
        let clock = rounds(&|| {
            for _ in 0..OPERATIONS {
                black_box(Instant::now());
            }
        })?;
        let expected = u64::from(OPERATIONS) / 2 * u64::try_from(ROUNDS)?;
        if stats.operations(Rpc::Get, Code::Ok) != expected {
            return Err("operations were not counted".into());
        }
        Ok(Self {
            count: (counts - times).max(0.0),
            add,
            clock,
        })
    }

    /// A call is in flight and then is not, and looks at the clock both times.
    pub(super) fn call_ns(&self) -> f64 {
        self.count + 2.0 * (self.add + self.clock)
    }

    /// An operation of a pipeline, which shares its count and its looks at the clock with
    /// those of its message: all of one kind here, and answered together.
    pub(super) fn operation_ns(&self, message: u32) -> f64 {
        (self.count + 2.0 * self.clock) / f64::from(message)
    }
}

/// Times as calls have them: they fall into several buckets.
fn took(random: &mut SplitMix) -> Duration {
    Duration::from_nanos(u64::from(random.below(1 << 20)))
}
