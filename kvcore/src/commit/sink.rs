//! What the log's writer tells commit: permits come back here, and what whoever watches is
//! told of is handed on.

use std::sync::Arc;

use super::admission::Gate;
use super::unit::Unit;
use crate::log::GroupSink;
use crate::watch::{Entry, Hub};

/// Gives back the permits of units that are in the file, or never will be.
#[derive(Debug)]
pub struct PermitSink {
    gate: Arc<Gate>,
    watches: Arc<Hub>,
}

#[expect(
    clippy::vec_box,
    reason = "units stay where they were made: they are large"
)]
impl PermitSink {
    pub fn new(gate: Arc<Gate>, watches: Arc<Hub>) -> Self {
        Self { gate, watches }
    }

    fn give_back(&self, units: &mut Vec<Box<Unit>>) {
        let mut sums = [(0, 0); 2];
        for unit in units.iter() {
            let sum = &mut sums[usize::from(unit.cost.own)];
            *sum = (sum.0 + 1, sum.1 + unit.cost.bytes);
        }
        units.clear();
        for (own, (count, bytes)) in [false, true].into_iter().zip(sums) {
            if count > 0 {
                self.gate.give_back(own, count, bytes);
            }
        }
    }
}

impl GroupSink<Unit> for PermitSink {
    fn written(&mut self, units: &mut [Box<Unit>]) {
        if !self.watches.is_watched() {
            return;
        }
        let entries = units.iter_mut().map(|unit| Entry {
            revision: unit.revision,
            operations: std::mem::take(&mut unit.operations),
        });
        self.watches.publish(entries.collect());
    }

    fn logged(&mut self, units: &mut Vec<Box<Unit>>) {
        self.give_back(units);
    }

    fn failed(&mut self, units: &mut Vec<Box<Unit>>) {
        self.give_back(units);
    }
}
