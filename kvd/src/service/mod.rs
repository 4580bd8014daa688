//! One adapter per service of the protocol: convert, call the store, convert back.

pub mod admin;
mod backup;
mod batch;
pub mod convert;
pub mod core;
pub mod deadline;
mod expiry;
mod facts;
mod fed;
pub mod kv;
pub mod limits;
mod mutations;
pub mod not_yet;
mod operations;
mod pipeline;
mod ranges;
mod requests;
mod scan;
mod settings;
mod slow;
pub mod status;
#[cfg(test)]
mod tests;
mod token;
mod txn;
mod verify;
pub mod watch;
mod weight;
