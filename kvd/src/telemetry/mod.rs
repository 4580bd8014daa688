//! What the daemon tells about itself: logs, counts, metrics, health.

pub mod stats;
