//! The services over a real connection, on a store whose log moves by hand: what a
//! reply waits for, and how it ends when the wait does.

mod contract;
mod data_model;
mod pipeline;
#[path = "../../../tests/daemon/support/raw.rs"]
mod raw;
mod refusals;
mod support;
mod waits;
