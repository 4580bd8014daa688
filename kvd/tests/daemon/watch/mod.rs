//! Watches over the wire.

mod bad;
mod client;
mod ends;
mod tells;
