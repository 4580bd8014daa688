//! What is asked of every decoder of bytes from a disk, whatever the bytes are. The stable
//! test beside this directory and the fuzzers in `fuzz/` run the same bodies.
//!
//! ```text
//! input := control u8, bytes        bit 0 of control: put the checksums right first, so that
//!                                   what lies behind them is reached
//! ```
//! A body panics unless
//! - the decoder returns, without a panic, and within its [`budget`];
//! - what it accepts encodes to the very bytes that it was decoded from;
//! - two ways to read the same bytes (a walk and a sieve, a check and a start) agree.

pub mod budget;
mod files;
mod frame;
mod manifest;
mod outcome;
mod resealed;
mod segment;
mod snapshot;
mod store;
mod unit;

/// One decoder, or several that read the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs to begin with: the golden files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longest input that is worth anything.
    pub longest: usize,
}

pub const TARGETS: [Target; 7] = [
    Target {
        name: "frame",
        run: frame::run,
        seeds: frame::seeds,
        longest: 4 << 10,
    },
    Target {
        name: "segment",
        run: segment::run,
        seeds: segment::seeds,
        longest: 16 << 10,
    },
    Target {
        name: "unit",
        run: unit::run,
        seeds: unit::seeds,
        longest: 4 << 10,
    },
    Target {
        name: "outcome",
        run: outcome::run,
        seeds: outcome::seeds,
        longest: 4 << 10,
    },
    Target {
        name: "manifest",
        run: manifest::run,
        seeds: manifest::seeds,
        longest: 4 << 10,
    },
    Target {
        name: "snapshot",
        run: snapshot::run,
        seeds: snapshot::seeds,
        longest: 16 << 10,
    },
    Target {
        name: "store",
        run: store::run,
        seeds: store::seeds,
        longest: 512,
    },
];

/// The control byte's flags.
const RESEAL: u8 = 1;
const SECOND: u8 = 2;
const THIRD: u8 = 4;

/// A control byte and what follows it.
fn split(input: &[u8]) -> Option<(u8, &[u8])> {
    input
        .split_first()
        .map(|(control, bytes)| (*control, bytes))
}

/// A golden file as an input, once as it is and once to be sealed again.
fn input(control: u8, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    [control, control | RESEAL]
        .into_iter()
        .map(|control| {
            let mut input = vec![control];
            input.extend(parts.concat());
            input
        })
        .collect()
}

/// A file under `tests/golden/v1`.
macro_rules! golden {
    ($name:literal) => {
        &include_bytes!(concat!("../../golden/v1/", $name))[..]
    };
}
use golden;
