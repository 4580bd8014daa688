//! The daemon as a library.

pub mod args;
pub mod backend;
pub mod config;
pub mod exit;
pub mod service;
pub mod telemetry;
pub mod waiter;
