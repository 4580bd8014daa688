//! What the daemon tells about itself: logs, counts, metrics, health.

mod exposition;
pub mod health;
pub mod http;
mod journal;
mod json;
mod line;
pub mod logging;
pub mod metrics;
mod process;
pub mod slow;
pub mod stats;
pub(crate) mod trace;
