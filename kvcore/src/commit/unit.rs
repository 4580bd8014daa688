//! What travels from a transaction to the log.

use std::sync::Arc;

use crate::base::op::{RequestTag, UnitKind};
use crate::base::revision::Revision;
use crate::commit::admission::Cost;
use crate::format::unit::encode_unit;
use crate::log::LogUnit;
pub use crate::store::logged::{Logged, Operations};

/// The request that a unit answers, as it is remembered.
#[derive(Debug)]
pub struct Request {
    pub id: Box<[u8]>,
    pub fingerprint: u128,
    pub item: u32,
    /// Bytes that its outcome may take.
    pub outcome_max: usize,
    /// Encoded before the revision is drawn.
    pub outcome: Arc<[u8]>,
}

/// A unit: one revision, all or nothing.
#[derive(Debug)]
pub struct Unit {
    pub revision: Revision,
    pub operations: Operations,
    pub request: Option<Box<Request>>,
    /// The permit; given back by the writer.
    pub cost: Cost,
}

impl LogUnit for Unit {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn fetch(&self) -> u64 {
        let operations = self.operations.as_slice().iter();
        operations.fold(self.revision.0, |sum, op| sum.wrapping_add(op.fetch()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let operations = self.operations.as_slice();
        let kind = if operations.len() == 1 {
            UnitKind::Single
        } else {
            UnitKind::Txn
        };
        let tag = self.request.as_ref().map(|request| RequestTag {
            id: &request.id,
            fingerprint: request.fingerprint,
            outcome: &request.outcome,
        });
        encode_unit(
            out,
            kind,
            tag,
            operations.iter().map(|op| op.view(self.revision)),
        );
    }

    fn encoded_max(&self) -> usize {
        usize::try_from(self.cost.bytes).unwrap_or(usize::MAX)
    }

    fn reserved(&self) -> u64 {
        self.cost.reserved()
    }
}
