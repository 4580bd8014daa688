//! What happened since the disk was switched on, for whoever has to understand a seed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Older events are forgotten.
const KEPT: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Operation {
        number: u64,
        verb: &'static str,
        name: Arc<str>,
        /// Offset and length, where they mean something.
        range: Option<(u64, u64)>,
    },
    Note(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => write!(f, "     -- {text}"),
            Self::Operation {
                number,
                verb,
                name,
                range,
            } => {
                write!(f, "{number:>5} {verb} {name}")?;
                match range {
                    Some((offset, len)) => write!(f, " {offset}+{len}"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Event>);

impl History {
    pub(super) fn push(&mut self, event: Event) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Event::to_string).collect()
    }
}
