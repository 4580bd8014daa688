//! The daemon as a library: [`start`] a [`Daemon`] from a configuration.
//!
//! ```text
//! commands ─► config ─► lifecycle ─► server ─► service ─► backend ─► kvcore
//!                          │           │          └─► waiter (who waits for the log)
//!                          │           └─► runtime, accept, serve, front (bytes to calls)
//!                          └─► telemetry (health, /metrics, logs)
//! ```
//! Services know a store by [`backend::Store`] alone. [`runtime`], [`serve`] and
//! [`accept`] know nothing of what is served, so that a bench can put something else
//! there.

pub mod accept;
pub mod args;
pub mod backend;
pub mod commands;
pub mod config;
pub mod connection;
pub mod control;
#[cfg(feature = "debug-hooks")]
mod debug;
pub mod exit;
pub mod front;
pub mod intake;
pub mod lifecycle;
pub mod live;
pub mod runtime;
pub mod serve;
pub mod server;
pub mod service;
pub mod socket;
pub mod telemetry;
pub mod waiter;

pub use lifecycle::{Daemon, start, start_with};
/// The allocator of the daemon, for whoever wants to be compared with it.
pub use tikv_jemallocator::Jemalloc;
