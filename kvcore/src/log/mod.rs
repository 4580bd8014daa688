//! The log: append, sync, rotate, and read from a revision.
//!
//! One thread writes ([`writer`]); everybody else sees positions ([`watermark`]),
//! room ([`ledger`]) and, after a restart, frames ([`reader`]). The log knows
//! nothing of the store: it carries any [`LogUnit`] and reports to a [`GroupSink`].

pub mod catalog;
pub mod history;
pub mod ledger;
pub mod manifest_file;
pub mod parker;
pub mod reader;
pub mod recent;
pub mod ring;
pub mod rooms;
pub mod segment;
pub mod spares;
pub mod state;
pub mod tail;
pub mod watermark;
pub mod writer;

use crate::base::revision::Revision;

/// What travels to the log: all-or-nothing, with one revision.
pub trait LogUnit: Send + 'static {
    fn revision(&self) -> Revision;
    /// Looks at what [`LogUnit::encode`] will read, to bring it into the processor's cache;
    /// what it returns only keeps the look alive.
    fn fetch(&self) -> u64;
    /// Appends the encoded unit.
    fn encode(&self, out: &mut Vec<u8>);
    /// An upper bound of what `encode` appends, in bytes.
    fn encoded_max(&self) -> usize;
    /// Bytes that the unit holds in the ledger until it is written.
    fn reserved(&self) -> u64;
}

/// Who is told what became of the units.
pub trait GroupSink<U>: Send + 'static {
    /// These are in the file, in revision order, and nobody has been told yet. What they
    /// changed may be taken out of them.
    fn written(&mut self, units: &mut [Box<U>]);
    /// These are in the file, and that was announced. What they hold may be given back.
    fn logged(&mut self, units: &mut Vec<Box<U>>);
    /// The log has failed: these will never be written.
    fn failed(&mut self, units: &mut Vec<Box<U>>);
}

/// When the log calls sync without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After every group; a group that nobody waits for may gather for five milliseconds.
    Always,
    /// At most this long after a write.
    Interval(std::time::Duration),
    /// Only at rotation, at close, and when somebody waits for it.
    Never,
}

#[cfg(test)]
mod tests;
