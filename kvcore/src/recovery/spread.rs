//! Changes on their way into the store, gathered by shard.
//!
//! One change after the other would visit another shard each time: a lock, and a wait for
//! memory. Gathered, a shard is locked once for all of its own, and memory is asked for
//! several of them at once. Changes of one key stay in order.

use super::replay::Target;
use crate::store::{Place, Restoring};

/// Changes that wait at most: some MiB.
const TOGETHER: usize = 1 << 15;

/// See the module.
#[derive(Debug)]
pub struct Spread<'t, T, F> {
    target: &'t Target,
    /// Of all shards, every so many are ours.
    workers: usize,
    shards: Vec<Vec<(Place, T)>>,
    waiting: usize,
    apply: F,
}

impl<'t, T, F: Fn(&mut Restoring<'_>, Place, T)> Spread<'t, T, F> {
    /// For one of several workers, each of whom adds changes of its own shards only: those
    /// whose numbers leave the same remainder.
    pub fn new(target: &'t Target, workers: usize, apply: F) -> Self {
        let shards = target.shards.count().div_ceil(workers);
        Self {
            target,
            workers,
            shards: (0..shards).map(|_| Vec::new()).collect(),
            waiting: 0,
            apply,
        }
    }

    pub fn add(&mut self, place: Place, change: T) {
        self.shards[place.shard / self.workers].push((place, change));
        self.waiting += 1;
        if self.waiting == TOGETHER {
            self.flush();
        }
    }

    /// Applies all that waits.
    pub fn flush(&mut self) {
        let Target { shards, memory, .. } = self.target;
        for waiting in &mut self.shards {
            let Some((first, _)) = waiting.first() else {
                continue;
            };
            shards.restore(first.shard, memory, |shard| {
                shard.fetch(waiting.iter().map(|(place, _)| *place));
                for (place, change) in waiting.drain(..) {
                    (self.apply)(shard, place, change);
                }
            });
        }
        self.waiting = 0;
    }
}
