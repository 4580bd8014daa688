//! Which of many ranges hold a key.
//!
//! ```text
//!  one key     a map
//!  prefix      a map per length of prefix: a key is looked up once for each length in use
//!  span        sorted by start, with the furthest end of each subtree: visited where it can
//!              reach the key
//! ```
//! So a change costs what it matters to, not what there is.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use crate::base::range::KeyRange;

/// Names an entry.
pub type Ticket = u64;

type Bucket<T> = Vec<(Ticket, T)>;

/// See the module.
#[derive(Debug)]
pub struct Interests<T> {
    keys: HashMap<Box<[u8]>, Bucket<T>>,
    prefixes: BTreeMap<usize, HashMap<Box<[u8]>, Bucket<T>>>,
    spans: Vec<Span<T>>,
    /// The furthest end of the subtree of each span; None: no end.
    reach: Vec<Option<Box<[u8]>>>,
    stale: bool,
    next: Ticket,
    len: usize,
}

#[derive(Debug)]
struct Span<T> {
    range: KeyRange,
    ticket: Ticket,
    value: T,
}

impl<T> Default for Interests<T> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            prefixes: BTreeMap::new(),
            spans: Vec::new(),
            reach: Vec::new(),
            stale: false,
            next: 1,
            len: 0,
        }
    }
}

enum Shape<'a> {
    Key(&'a [u8]),
    Prefix(&'a [u8]),
    Span,
}

fn shape(range: &KeyRange) -> Shape<'_> {
    if let Some(key) = range.as_key() {
        return Shape::Key(key);
    }
    if KeyRange::prefix(range.start()) == *range {
        return Shape::Prefix(range.start());
    }
    Shape::Span
}

impl<T> Interests<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn insert(&mut self, range: &KeyRange, value: T) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.len += 1;
        match shape(range) {
            Shape::Key(key) => self
                .keys
                .entry(key.into())
                .or_default()
                .push((ticket, value)),
            Shape::Prefix(prefix) => self
                .prefixes
                .entry(prefix.len())
                .or_default()
                .entry(prefix.into())
                .or_default()
                .push((ticket, value)),
            Shape::Span => {
                let range = range.clone();
                self.spans.push(Span {
                    range,
                    ticket,
                    value,
                });
                self.stale = true;
            }
        }
        ticket
    }

    pub fn remove(&mut self, range: &KeyRange, ticket: Ticket) {
        let found = match shape(range) {
            Shape::Key(key) => take(&mut self.keys, key, ticket),
            Shape::Prefix(prefix) => {
                let found = self
                    .prefixes
                    .get_mut(&prefix.len())
                    .is_some_and(|same| take(same, prefix, ticket));
                self.prefixes.retain(|_, same| !same.is_empty());
                found
            }
            Shape::Span => {
                let at = self.spans.iter().position(|span| span.ticket == ticket);
                if let Some(at) = at {
                    self.spans.swap_remove(at);
                    self.stale = true;
                }
                at.is_some()
            }
        };
        self.len -= usize::from(found);
    }

    /// Calls `f` for each whose range holds `key`.
    pub fn each(&mut self, key: &[u8], mut f: impl FnMut(&T)) {
        if let Some(same) = self.keys.get(key) {
            for (_, value) in same {
                f(value);
            }
        }
        for (&len, same) in &self.prefixes {
            let Some(prefix) = key.get(..len) else {
                break;
            };
            if let Some(same) = same.get(prefix) {
                for (_, value) in same {
                    f(value);
                }
            }
        }
        if self.stale {
            self.sort();
        }
        self.stab(key, 0..self.spans.len(), &mut f);
    }

    pub fn all(&self, mut f: impl FnMut(&T)) {
        let prefixes = self.prefixes.values().flat_map(HashMap::values);
        for same in self.keys.values().chain(prefixes) {
            for (_, value) in same {
                f(value);
            }
        }
        for span in &self.spans {
            f(&span.value);
        }
    }

    fn sort(&mut self) {
        self.spans
            .sort_by(|a, b| a.range.start().cmp(b.range.start()));
        self.reach = vec![Some(Box::default()); self.spans.len()];
        self.measure(0..self.spans.len());
        self.stale = false;
    }

    /// The middle of a run of spans is the root of its two halves.
    fn measure(&mut self, run: std::ops::Range<usize>) -> Option<Box<[u8]>> {
        if run.is_empty() {
            return Some(Box::default());
        }
        let root = run.start + run.len() / 2;
        let own: Option<Box<[u8]>> = self.spans[root].range.end().map(Into::into);
        let left = self.measure(run.start..root);
        let right = self.measure(root + 1..run.end);
        let furthest = [own, left, right]
            .into_iter()
            .max_by(|a, b| further(a.as_deref(), b.as_deref()));
        self.reach[root].clone_from(&furthest.flatten());
        self.reach[root].clone()
    }

    fn stab(&self, key: &[u8], run: std::ops::Range<usize>, f: &mut impl FnMut(&T)) {
        if run.is_empty() {
            return;
        }
        let root = run.start + run.len() / 2;
        if self.reach[root].as_deref().is_some_and(|end| end <= key) {
            return;
        }
        self.stab(key, run.start..root, f);
        let Span { range, value, .. } = &self.spans[root];
        if range.start() > key {
            return;
        }
        if range.contains(key) {
            f(value);
        }
        self.stab(key, root + 1..run.end, f);
    }
}

/// No end is the furthest.
fn further(a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Greater,
        (_, None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

fn take<T>(map: &mut HashMap<Box<[u8]>, Bucket<T>>, key: &[u8], ticket: Ticket) -> bool {
    let Some(same) = map.get_mut(key) else {
        return false;
    };
    let at = same.iter().position(|(other, _)| *other == ticket);
    if let Some(at) = at {
        same.swap_remove(at);
    }
    if same.is_empty() {
        map.remove(key);
    }
    at.is_some()
}
