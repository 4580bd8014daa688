//! The settings of a store on a simulated disk, small enough that everything happens within a
//! hundred steps. Each suite adds what is its own.

use kvcore::{Limits, Options};

pub(crate) fn options() -> Options {
    let mut options = Options::new("/simulated");
    options.segment_bytes = 16 << 10;
    options.shards = 4;
    // The same steps in the same order, whatever the machine.
    options.replay_threads = 1;
    options.snapshots.rate = None;
    options.limits = Limits {
        key_bytes: 16,
        value_bytes: 2048,
        unit_operations: 4,
        unit_bytes: 2200,
        in_flight_units: 64,
        in_flight_bytes: 64 << 10,
        ..Limits::default()
    };
    options
}
