//! The bodies of the stable test, for the fuzzer.

#[path = "../../kvcore/tests/decoders/bodies/mod.rs"]
pub mod bodies;

use bodies::Target;
use bodies::budget::Counting;

/// So that what a decoder allocates is seen.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

pub fn targets() -> impl Iterator<Item = &'static Target> {
    bodies::TARGETS.iter()
}

/// Runs one input through the body of this name.
///
/// # Panics
/// If there is none, or if the body finds something.
pub fn run(name: &str, input: &[u8]) {
    let target = targets().find(|target| target.name == name);
    (target.expect("a target of this name").run)(input);
}
