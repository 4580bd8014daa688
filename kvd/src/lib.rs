//! The daemon as a library.

pub mod accept;
pub mod args;
pub mod backend;
pub mod config;
pub mod connection;
pub mod exit;
pub mod front;
pub mod intake;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod telemetry;
pub mod waiter;
