//! Is there an order of the operations on one key that explains all answers?
//!
//! The search of Wing and Gong (1993) with the linked list of open events and the
//! memory of visited configurations of Lowe (2017). Three things keep it short here:
//! a read that fits the present state may go at once, since it changes nothing; answered
//! writes go in the order of their revisions; undecided operations are tried last.
//!
//! An undecided operation may be left out. It is dropped as soon as one is chosen that
//! began after it can no longer have happened.

use std::collections::HashSet;

use super::super::op::Id;
use super::facts::Fact;
use super::model::State;

/// One operation on the key.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Id,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    /// Undecided: may have happened in one of the ways, or not.
    pub(crate) optional: bool,
    pub(crate) ways: Vec<Vec<Fact>>,
    pub(crate) revision: Option<i64>,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    /// With the undecided operations that are needed for it.
    Linearizable(Vec<Id>),
    /// The longest beginning that can be explained, the state after it, and the
    /// operations of which then none fits.
    Not {
        explained: Vec<Id>,
        state: State,
        stuck: Vec<Id>,
    },
    /// The budget of steps is used up.
    Unknown,
}

/// Searches with at most `budget` steps.
pub(crate) fn linearize(events: &[Event], budget: u64) -> Verdict {
    Search::new(events).run(budget)
}

/// An operation that may go next, and those that are dropped if it does.
#[derive(Debug)]
struct Choice {
    event: usize,
    dropped: Vec<usize>,
}

#[derive(Debug)]
struct Frame {
    /// Choices not tried yet, the best last.
    choices: Vec<Choice>,
    /// Further outcomes of `taken`.
    states: Vec<State>,
    taken: Option<Choice>,
    before: State,
}

struct Search<'a> {
    events: &'a [Event],
    list: List,
    /// Answered writes by revision, and how many of them are done.
    writes: Vec<usize>,
    written: usize,
    /// Answered operations that are not done.
    open: usize,
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, State)>,
    state: State,
    frames: Vec<Frame>,
    best: Option<(Vec<Id>, State, Vec<Id>)>,
}

impl<'a> Search<'a> {
    fn new(events: &'a [Event]) -> Self {
        let mut writes: Vec<usize> = (0..events.len())
            .filter(|&event| events[event].revision.is_some())
            .collect();
        writes.sort_by_key(|&event| events[event].revision);
        Self {
            events,
            list: List::new(events),
            writes,
            written: 0,
            open: events.iter().filter(|event| !event.optional).count(),
            done: vec![0; events.len().div_ceil(64)],
            seen: HashSet::new(),
            state: State::default(),
            frames: Vec::new(),
            best: None,
        }
    }

    fn run(mut self, budget: u64) -> Verdict {
        self.enter();
        for _ in 0..budget {
            if self.open == 0 {
                return Verdict::Linearizable(self.taken(|event| event.optional));
            }
            if self.advance() {
                self.enter();
            } else if !self.retreat() {
                let (explained, state, stuck) = self.best.unwrap_or_default();
                return Verdict::Not {
                    explained,
                    state,
                    stuck,
                };
            }
        }
        Verdict::Unknown
    }

    /// Opens a frame with all that may go next.
    fn enter(&mut self) {
        let (mut certain, mut optional) = (Vec::new(), Vec::new());
        let mut dropped = Vec::new();
        let mut stuck = Vec::new();
        let mut read = None;
        for node in self.list.iter() {
            let index = node / 2;
            let event = &self.events[index];
            let choice = || Choice {
                event: index,
                dropped: dropped.clone(),
            };
            match (node % 2 == 0, event.optional) {
                (true, true) => optional.push(choice()),
                (true, false) => {
                    stuck.push(event.id);
                    if event.revision.is_none() {
                        if dropped.is_empty() && self.changes_nothing(event) {
                            read = Some(choice());
                            break;
                        }
                        certain.push(choice());
                    } else if self.writes.get(self.written) == Some(&index) {
                        certain.push(choice());
                    }
                }
                (false, true) => dropped.push(index),
                (false, false) => break,
            }
        }
        let choices = if let Some(read) = read {
            vec![read]
        } else {
            self.note(stuck);
            optional.reverse();
            certain.reverse();
            optional.extend(certain);
            optional
        };
        self.frames.push(Frame {
            choices,
            states: Vec::new(),
            taken: None,
            before: self.state.clone(),
        });
    }

    fn changes_nothing(&self, event: &Event) -> bool {
        event
            .ways
            .iter()
            .any(|facts| self.state.after(facts, None).as_ref() == Some(&self.state))
    }

    /// Remembers the longest explanation for the report.
    fn note(&mut self, stuck: Vec<Id>) {
        let depth = self.frames.len();
        if self.best.as_ref().is_none_or(|best| best.0.len() < depth) {
            let explained = self.taken(|_| true);
            self.best = Some((explained, self.state.clone(), stuck));
        }
    }

    /// The operations that the present explanation consists of, in its order.
    fn taken(&self, which: impl Fn(&Event) -> bool) -> Vec<Id> {
        let taken = self.frames.iter().filter_map(|frame| frame.taken.as_ref());
        let taken = taken.map(|choice| &self.events[choice.event]);
        taken
            .filter(|event| which(event))
            .map(|event| event.id)
            .collect()
    }

    /// Takes the next untried choice of the top frame.
    fn advance(&mut self) -> bool {
        let Some(mut frame) = self.frames.pop() else {
            return false;
        };
        loop {
            while let Some(state) = frame.states.pop() {
                if self.seen.insert((self.done.clone(), state.clone())) {
                    self.state = state;
                    self.frames.push(frame);
                    return true;
                }
            }
            if let Some(choice) = frame.taken.take() {
                self.undo(&choice);
            }
            let Some(choice) = frame.choices.pop() else {
                self.frames.push(frame);
                return false;
            };
            let event = &self.events[choice.event];
            let outcomes = event.ways.iter().rev();
            frame.states = outcomes
                .filter_map(|facts| frame.before.after(facts, event.revision))
                .collect();
            if !frame.states.is_empty() {
                self.take(&choice);
                frame.taken = Some(choice);
            }
        }
    }

    /// Gives up the top frame.
    fn retreat(&mut self) -> bool {
        self.frames.pop();
        if let Some(frame) = self.frames.last() {
            self.state = frame.before.clone();
            return true;
        }
        false
    }

    fn take(&mut self, choice: &Choice) {
        for &event in &choice.dropped {
            self.list.lift(event);
            self.done[event / 64] |= 1 << (event % 64);
        }
        self.list.lift(choice.event);
        self.done[choice.event / 64] |= 1 << (choice.event % 64);
        let event = &self.events[choice.event];
        self.open -= usize::from(!event.optional);
        self.written += usize::from(event.revision.is_some());
    }

    fn undo(&mut self, choice: &Choice) {
        let event = &self.events[choice.event];
        self.open += usize::from(!event.optional);
        self.written -= usize::from(event.revision.is_some());
        self.list.unlift(choice.event);
        self.done[choice.event / 64] &= !(1 << (choice.event % 64));
        for &event in choice.dropped.iter().rev() {
            self.list.unlift(event);
            self.done[event / 64] &= !(1 << (event % 64));
        }
    }
}

/// The calls and returns of all operations that are not done, in order of time. The
/// call of event `e` is node `2e`, its return `2e + 1`.
#[derive(Debug)]
struct List {
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl List {
    fn new(events: &[Event]) -> Self {
        let mut nodes: Vec<usize> = (0..2 * events.len()).collect();
        nodes.sort_by_key(|&node| {
            let event = &events[node / 2];
            let call = node % 2 == 0;
            // At one moment, returns come last: such operations overlap.
            (if call { event.invoked } else { event.returned }, !call)
        });
        let head = nodes.len();
        let mut list = Self {
            next: vec![head; head + 1],
            previous: vec![head; head + 1],
        };
        let mut last = head;
        for node in nodes {
            list.next[last] = node;
            list.previous[node] = last;
            last = node;
        }
        list.previous[head] = last;
        list
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let head = self.next.len() - 1;
        let step = move |&node: &usize| Some(self.next[node]);
        std::iter::successors(Some(self.next[head]), step).take_while(move |&node| node != head)
    }

    fn lift(&mut self, event: usize) {
        for node in [2 * event, 2 * event + 1] {
            let (previous, next) = (self.previous[node], self.next[node]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    fn unlift(&mut self, event: usize) {
        for node in [2 * event + 1, 2 * event] {
            let (previous, next) = (self.previous[node], self.next[node]);
            self.next[previous] = node;
            self.previous[next] = node;
        }
    }
}
