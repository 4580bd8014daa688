//! What the drivers share that kill a real daemon: starting one, and random choices
//! that a seed repeats.

pub mod daemon;
pub mod rng;
