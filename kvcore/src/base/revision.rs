//! The one newtype for the place in the order.

use std::fmt;

/// A place in the one order of changes: memory order, log order and watch order.
///
/// Revisions are dense within a run. A new store is at [`Revision::START`]; its
/// first change is 2. After an unclean start numbering jumps by [`Revision::JUMP`],
/// so that a revision that was handed out and lost is never given to another change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// No revision: "nothing to wait for", "absent".
    pub const NONE: Self = Self(0);
    /// The revision of an empty store.
    pub const START: Self = Self(1);
    /// How far numbering jumps after an unclean start. The distance between the
    /// newest and the durable revision never reaches it, so no lost revision
    /// can lie above the jump.
    pub const JUMP: u64 = 1 << 24;

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Revisions that name nothing: the numbers jumped over at an unclean start.
/// Both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub first: Revision,
    pub last: Revision,
}

impl Gap {
    pub fn contains(&self, revision: Revision) -> bool {
        self.first <= revision && revision <= self.last
    }
}
