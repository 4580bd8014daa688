//! What the daemon tells about itself: logs, counts, metrics, health.

mod exposition;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
mod process;
pub mod stats;
