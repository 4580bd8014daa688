//! The settings of a small store in a directory: files that fill up soon, and room in flight
//! for the values of the tests. Each suite adds what is its own.

use std::path::PathBuf;

use kvcore::Options;

pub(crate) fn options(dir: impl Into<PathBuf>) -> Options {
    let mut options = Options::new(dir);
    // Temporary directories may be on tmpfs, which a test does not mind.
    options.allow_volatile = true;
    options.segment_bytes = 256 << 10;
    options.limits.value_bytes = 16 << 10;
    options.limits.unit_bytes = 17 << 10;
    options.limits.unit_operations = 64;
    options.limits.in_flight_bytes = 1 << 20;
    options.shards = 64;
    options
}
