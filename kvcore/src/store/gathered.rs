//! Keys on their way into a partition of the index while a store is being loaded.
//!
//! In a tree every key pays for a search of its own. Gathered and sorted once they cost a
//! quarter of that, and the tree is built from full nodes.
//!
//! Invariants:
//! - a key enters only when it is absent and leaves only when it is present, so entries and
//!   departures of one key alternate: it is there if it has entered more often than it left;
//! - departures are settled before they are half of what has entered: memory is bounded by
//!   the keys that are there, not by how often they came and went.

use std::cmp::Ordering;

use super::short::Key;

/// Departures that are not worth a settlement.
const FEW: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    entered: Vec<Key>,
    left: Vec<Key>,
}

impl Gathered {
    pub(super) fn add(&mut self, entered: &mut Vec<Key>, left: &mut Vec<Key>) {
        self.entered.append(entered);
        self.left.append(left);
        if self.left.len() > FEW + self.entered.len() / 2 {
            self.settle();
        }
    }

    /// The keys that are there, ascending.
    pub(super) fn into_sorted(mut self) -> Vec<Key> {
        self.settle();
        self.entered
    }

    /// Every departure takes one entry of its key with it.
    fn settle(&mut self) {
        self.entered.sort_unstable();
        self.left.sort_unstable();
        let mut left = self.left.drain(..).peekable();
        self.entered.retain(|key| {
            let gone = left.next_if(|gone| gone <= key).map(|gone| gone.cmp(key));
            debug_assert_ne!(
                gone,
                Some(Ordering::Less),
                "a key left that had not entered"
            );
            gone.is_none()
        });
        debug_assert!(left.next().is_none(), "a key left that had not entered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(of: &[&str]) -> Vec<Key> {
        of.iter().map(|key| Key::new(key.as_bytes())).collect()
    }

    #[test]
    fn what_came_more_often_than_it_went_is_there() {
        let mut gathered = Gathered::default();
        gathered.add(&mut keys(&["b", "a", "c"]), &mut keys(&["b"]));
        gathered.add(&mut keys(&["b", "d"]), &mut keys(&["c", "b", "a"]));
        gathered.add(&mut keys(&["a"]), &mut keys(&[]));
        assert_eq!(gathered.into_sorted(), keys(&["a", "d"]));
    }

    #[test]
    fn keys_that_come_and_go_without_end_take_no_more_room() {
        let mut gathered = Gathered::default();
        let mut there = BTreeSet::new();
        for round in 0..40_000_u32 {
            let key = format!("{}", round % 7);
            let one = &mut vec![Key::new(key.as_bytes())];
            if there.remove(&key) {
                gathered.add(&mut Vec::new(), one);
            } else {
                gathered.add(one, &mut Vec::new());
                there.insert(key);
            }
            let held = gathered.entered.len() + gathered.left.len();
            assert!(held <= 5 * FEW, "{held} in round {round}");
        }
        let expected: Vec<Key> = there.iter().map(|key| Key::new(key.as_bytes())).collect();
        assert_eq!(gathered.into_sorted(), expected);
    }
}
