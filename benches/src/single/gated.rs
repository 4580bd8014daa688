//! Calls of single keys that ask before each one whether they may go, and when.

use super::{Line, Single, Slot};
use crate::Result;
use crate::driver::Work;

/// What stands in front of every call.
pub(crate) trait Gate: Send + Sync + 'static {
    /// Waits until the next call may go. False: there is none to come.
    fn pass(&self) -> impl Future<Output = bool>;
}

/// The calls of `single`, through a gate.
pub(crate) struct Gated<G> {
    pub(crate) single: Single,
    pub(crate) gate: G,
}

impl<G: Gate> Work for Gated<G> {
    type Line = Line;
    type Slot = Slot;

    async fn connect(&self) -> Result<Line> {
        self.single.connect().await
    }

    fn slot(&self, line: &Line, seed: u64) -> Result<Slot> {
        self.single.slot(line, seed)
    }

    async fn call(&self, slot: &mut Slot) -> Result<bool> {
        Ok(self.gate.pass().await && self.single.call(slot).await?)
    }
}
