//! One adapter per service of the protocol: convert, call the store, convert back.

pub mod admin;
mod answers;
mod batch;
pub mod convert;
pub mod core;
pub mod deadline;
pub mod kv;
pub mod limits;
pub mod not_yet;
mod operations;
mod pipeline;
pub mod status;
#[cfg(test)]
mod tests;
