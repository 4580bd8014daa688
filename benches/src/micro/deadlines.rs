//! Candidates for the deadlines: ordered sets in stripes, which are always exact, and a
//! hashed timing wheel that forgets a changed deadline only when its slot comes up.

use std::cell::Cell;
use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::measure::{Table, bytes_each, heap, least, ns_each, shuffled};
use crate::Result;
use crate::child::say;
use crate::contents::SplitMix;
use crate::report::median;

const STRIPES: usize = 64;
/// How much of a stripe is taken at a time.
const CHUNK: usize = 1_024;
const SLOT_MS: u64 = 100;
const SLOTS: usize = 4_096;
/// When the measurement begins, how long keys live, and how much that varies.
const START_MS: u64 = 1_000_000;
const LIFE_MS: u64 = 60_000;
const SPREAD_MS: u32 = 60_000;
const REFRESHES: u32 = 10;

/// Deadline and hash of a key.
type Due = (u64, u64);

trait Deadlines {
    fn insert(&mut self, due: Due);
    fn refresh(&mut self, old: Due, new: Due);
    /// Takes out everything that is due; `current` tells the deadline that a key has.
    fn expire(&mut self, now: u64, current: &dyn Fn(u64) -> u64, each: &mut dyn FnMut(u64));
}

struct Stripes(Vec<Mutex<BTreeSet<Due>>>);

impl Stripes {
    fn of(&self, hash: u64) -> &Mutex<BTreeSet<Due>> {
        &self.0[usize::try_from(hash >> 58).unwrap_or(0) % STRIPES]
    }
}

impl Deadlines for Stripes {
    fn insert(&mut self, due: Due) {
        self.of(due.1).lock().insert(due);
    }

    fn refresh(&mut self, old: Due, new: Due) {
        self.of(old.1).lock().remove(&old);
        self.of(new.1).lock().insert(new);
    }

    /// As a sweeper does: it looks, lets go of the stripe, ends the record under the
    /// record's own lock, and takes the entry out.
    fn expire(&mut self, now: u64, current: &dyn Fn(u64) -> u64, each: &mut dyn FnMut(u64)) {
        let mut found = Vec::with_capacity(STRIPES * CHUNK);
        loop {
            for stripe in &self.0 {
                let stripe = stripe.lock();
                found.extend(stripe.range(..=(now, u64::MAX)).take(CHUNK).copied());
            }
            if found.is_empty() {
                return;
            }
            for due in found.drain(..) {
                if current(due.1) == due.0 {
                    each(due.1);
                }
                self.of(due.1).lock().remove(&due);
            }
        }
    }
}

struct Wheel {
    slots: Vec<Mutex<Vec<Due>>>,
    /// The first slot that was not looked at to its end.
    at: u64,
}

impl Wheel {
    fn slot(&self, deadline: u64) -> &Mutex<Vec<Due>> {
        &self.slots[usize::try_from(deadline / SLOT_MS).unwrap_or(0) % SLOTS]
    }
}

impl Deadlines for Wheel {
    fn insert(&mut self, due: Due) {
        self.slot(due.0).lock().push(due);
    }

    fn refresh(&mut self, _old: Due, new: Due) {
        self.insert(new);
    }

    fn expire(&mut self, now: u64, current: &dyn Fn(u64) -> u64, each: &mut dyn FnMut(u64)) {
        let last = now / SLOT_MS;
        for slot in self.at..=last {
            let found = std::mem::take(&mut *self.slot(slot * SLOT_MS).lock());
            let mut later = Vec::new();
            for due in found {
                if due.0 > now {
                    later.push(due);
                } else if current(due.1) == due.0 {
                    each(due.1);
                }
            }
            self.slot(slot * SLOT_MS).lock().append(&mut later);
        }
        self.at = last;
    }
}

type Make = fn() -> Box<dyn Deadlines>;

const CANDIDATES: [(&str, Make); 2] = [
    ("64 ordered sets", || {
        Box::new(Stripes((0..STRIPES).map(|_| Mutex::default()).collect()))
    }),
    ("timing wheel, lazy", || {
        Box::new(Wheel {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            at: START_MS / SLOT_MS,
        })
    }),
];

pub(super) fn measure(keys: u32, rounds: u32) -> Result<String> {
    let mut table = Table::new(
        "Deadlines",
        [
            ("ns per insert", least),
            ("ns per refresh", least),
            ("all due at once: ns per key", least),
            ("bytes per key", median),
            ("after 10 refreshes: bytes per key", median),
        ],
    );
    let order = shuffled(keys, 3);
    for round in 1..=rounds {
        for (name, make) in CANDIDATES {
            let figures = candidate(make, &order)?;
            say(&format!("  round {round}: {name}: {figures:.1?}"));
            table.add(name, figures);
        }
    }
    Ok(table.markdown())
}

/// A key's hash leads back to its number in the low half, and is spread in the high one.
fn hash(number: u32) -> u64 {
    SplitMix(u64::from(number)).next() & !u64::from(u32::MAX) | u64::from(number)
}

fn number(hash: u64) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

fn candidate(make: Make, order: &[u32]) -> Result<[f64; 5]> {
    let count = u32::try_from(order.len())?;
    let mut random = SplitMix(4);
    let mut current = vec![0_u64; order.len()];
    let before = heap()?;
    let mut deadlines = make();
    let insert = ns_each(count, || {
        for &key in order {
            let due = START_MS + LIFE_MS + u64::from(random.below(SPREAD_MS));
            current[key as usize] = due;
            deadlines.insert((due, hash(key)));
        }
        Ok(())
    })?;
    let bytes = bytes_each(before, heap()?, count);
    let refresh = ns_each(count * REFRESHES, || {
        for round in 1..=REFRESHES {
            let now = START_MS + u64::from(round) * 1_000;
            for &key in order {
                let old = current[key as usize];
                let due = now + LIFE_MS + u64::from(random.below(SPREAD_MS));
                current[key as usize] = due;
                deadlines.refresh((old, hash(key)), (due, hash(key)));
            }
        }
        Ok(())
    })?;
    let refreshed = bytes_each(before, heap()?, count);
    let end = START_MS + LIFE_MS + u64::from(REFRESHES * 1_000 + SPREAD_MS);
    expire(&mut *deadlines, &current, end)?;
    drop(deadlines);
    let due = START_MS + LIFE_MS;
    let mut deadlines = make();
    for &key in order {
        deadlines.insert((due, hash(key)));
    }
    let current = vec![due; order.len()];
    if expire(&mut *deadlines, &current, due - 1).is_ok() {
        return Err("keys expired before their deadline".into());
    }
    let expired = ns_each(count, || expire(&mut *deadlines, &current, due))?;
    Ok([insert, refresh, expired, bytes, refreshed])
}

/// Ends what is due; every key must come exactly once. A key that has ended has no
/// deadline any more.
fn expire(deadlines: &mut dyn Deadlines, current: &[u64], now: u64) -> Result<()> {
    let ended: Vec<_> = current.iter().map(|_| Cell::new(false)).collect();
    let (mut twice, mut count) = (false, 0);
    let deadline = |hash| {
        let number = number(hash);
        if ended[number].get() {
            0
        } else {
            current[number]
        }
    };
    deadlines.expire(now, &deadline, &mut |hash| {
        twice |= ended[number(hash)].replace(true);
        count += 1;
    });
    if twice || count != current.len() {
        return Err(format!("{count} of {} keys expired", current.len()).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_ends_a_key_at_its_last_deadline_and_once() {
        for (name, make) in CANDIDATES {
            let mut deadlines = make();
            let mut current = [0; 3];
            let dues = [START_MS + 250, START_MS + 50, START_MS + 500_000];
            for (key, due) in (0..).zip(dues) {
                current[key as usize] = due;
                deadlines.insert((due, hash(key)));
            }
            deadlines.refresh((current[1], hash(1)), (START_MS + 260, hash(1)));
            current[1] = START_MS + 260;
            let mut ended = Vec::new();
            for now in (START_MS..START_MS + 600_000).step_by(10) {
                deadlines.expire(now, &|hash| current[number(hash)], &mut |hash| {
                    ended.push((now, number(hash)));
                });
            }
            let expected = [
                (START_MS + 250, 0),
                (START_MS + 260, 1),
                (START_MS + 500_000, 2),
            ];
            assert_eq!(ended, expected, "{name}");
        }
    }

    #[test]
    fn every_candidate_can_be_measured() {
        for (_, make) in CANDIDATES {
            candidate(make, &shuffled(2_000, 1)).unwrap();
        }
    }
}
