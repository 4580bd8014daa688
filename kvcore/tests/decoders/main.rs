//! Every decoder of bytes from a disk, over a corpus and over what chance makes of it.
//! What was found so is in `findings.rs`, each with a test of its own.
//!
//! The same bodies run under a fuzzer, for longer: `scripts/fuzz.sh`, `docs/reliability.md`.
//! `KVD_DECODER_CASES=N` sets how many mutations each target gets here (default 3,000),
//! `KVD_DECODER_SEED=N` where they begin.

#[expect(
    unreachable_pub,
    reason = "the fuzzers take it as a module of their own"
)]
mod bodies;
mod findings;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bodies::budget::{self, Counting};
use bodies::{TARGETS, Target};
use kvcore::disk::SimRng;
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is allocated is counted for the whole process, so one target runs at a time.
static ONE: Mutex<()> = Mutex::new(());

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn below(rng: &mut SimRng, bound: usize) -> usize {
    usize::try_from(rng.below(bound.max(1) as u64)).expect("below a usize")
}

/// One to four changes: flipped bits, other numbers, bytes cut out, doubled or put in.
fn mutated(seed: &[u8], longest: usize, rng: &mut SimRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = below(rng, bytes.len());
        let len = below(rng, 16).min(bytes.len() - at);
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u64().to_le_bytes()[0],
            2 => {
                let extreme = [0, 1, 0x7f, 0x80, 0xff];
                bytes[at..at + len].fill(extreme[below(rng, 5)]);
            }
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let piece = bytes[at..at + len].to_vec();
                let to = below(rng, bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => bytes.truncate(at),
            // The control byte and the first field, more often than the others.
            _ => {
                let at = below(rng, bytes.len().min(64));
                bytes[at] ^= 1 << rng.below(8);
            }
        }
    }
    bytes.truncate(longest);
    bytes
}

fn tried(target: &Target, input: &[u8]) {
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(ran.is_ok(), "{}: {input:02x?}", target.name);
}

fn all(name: &str) {
    let _one = ONE.lock();
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    let seeds = (target.seeds)();
    for seed in &seeds {
        tried(target, seed);
    }
    let mut rng = SimRng::new(from_env("KVD_DECODER_SEED", 1));
    let cases = from_env("KVD_DECODER_CASES", 3000);
    let cases = if name == "store" { cases / 5 } else { cases };
    for _ in 0..cases {
        let seed = &seeds[below(&mut rng, seeds.len())];
        tried(target, &mutated(seed, target.longest, &mut rng));
    }
}

#[test]
fn frames() {
    all("frame");
}

#[test]
fn segments() {
    all("segment");
}

#[test]
fn units() {
    all("unit");
}

#[test]
fn outcomes() {
    all("outcome");
}

#[test]
fn manifests() {
    all("manifest");
}

#[test]
fn snapshots() {
    all("snapshot");
}

#[test]
fn stores() {
    all("store");
}

#[test]
fn what_is_allocated_is_counted() {
    let _one = ONE.lock();
    let peak = budget::peak_of(|| drop(std::hint::black_box(vec![1_u8; 1 << 20])));
    assert!(peak >= 1 << 20, "{peak}");
    let beyond = catch_unwind(|| {
        budget::within(10, 1, || {
            drop(std::hint::black_box(vec![1_u8; 80 << 10]));
        });
    });
    assert!(beyond.is_err(), "a block beyond the budget passed");
}
