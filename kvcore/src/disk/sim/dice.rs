//! What a power cut leaves behind is a row of choices. This is who makes them: chance
//! ([`Chance`]), or an enumeration of every row there is ([`Odometer`]).

use super::rng::SimRng;

/// How a page that was caught on its way to the device is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tear {
    /// Not at all.
    Whole,
    /// Written back in the middle of a copy: the front of one write is there.
    MidCopy,
    /// The device finished some of the page's sectors.
    Sectors,
    /// The page changed while it was transferred, cache line by cache line.
    Lines,
}

pub(super) trait Dice {
    /// One of `0..n`, all alike; `n` is at least one.
    fn pick(&mut self, n: usize) -> usize;

    /// Announces that many changes of names, to be judged in order.
    fn begin_names(&mut self, _changes: usize) {}

    fn keeps_change(&mut self, _index: usize) -> bool {
        self.pick(2) == 1
    }

    /// Announces a file with that many dirty pages, to be judged in order.
    fn begin_file(&mut self, _dirty: usize) {}

    /// What reached the device of a dirty page: 0 for nothing, else the number of writes.
    fn version(&mut self, _index: usize, newest: usize) -> usize {
        self.pick(newest + 1)
    }

    fn tear(&mut self) -> Tear {
        Tear::Whole
    }

    /// The size of a file whose growth was not synced.
    fn size(&mut self, durable: u64, newest: u64) -> u64 {
        [durable, newest][self.pick(2)]
    }
}

/// How one crash treats the dirty pages of one file.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// Each page for itself.
    Scattered,
    NothingReached,
    EverythingReached,
    /// Pages were written back from the front up to this one.
    FrontTo(usize),
}

/// Chooses at random, and now and then one of the orderly outcomes that independent
/// choices would almost never produce when many pages are dirty.
#[derive(Debug)]
pub(super) struct Chance {
    rng: SimRng,
    style: Style,
    /// Changes of names from here on are lost, if it is an orderly crash.
    names_up_to: Option<usize>,
}

impl Chance {
    pub(super) fn new(rng: SimRng) -> Self {
        Self {
            rng,
            style: Style::Scattered,
            names_up_to: None,
        }
    }
}

impl Dice for Chance {
    fn pick(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.below(n as u64)).expect("below a usize")
    }

    fn begin_names(&mut self, changes: usize) {
        // As a journal does it, or as nobody promises not to.
        self.names_up_to = (self.pick(2) == 0).then(|| self.pick(changes + 1));
    }

    fn keeps_change(&mut self, index: usize) -> bool {
        match self.names_up_to {
            Some(end) => index < end,
            None => self.pick(2) == 1,
        }
    }

    fn begin_file(&mut self, dirty: usize) {
        self.style = match self.pick(8) {
            0 => Style::NothingReached,
            1 => Style::EverythingReached,
            2 | 3 => Style::FrontTo(self.pick(dirty.max(1))),
            _ => Style::Scattered,
        };
    }

    fn version(&mut self, index: usize, newest: usize) -> usize {
        match self.style {
            Style::NothingReached => return 0,
            Style::EverythingReached => return newest,
            Style::FrontTo(page) if index < page => return newest,
            Style::FrontTo(page) if index > page => return 0,
            _ => {}
        }
        match self.pick(4) {
            0 => 0,
            1 => newest,
            _ => self.pick(newest + 1),
        }
    }

    fn tear(&mut self) -> Tear {
        if matches!(self.style, Style::NothingReached | Style::EverythingReached) {
            return Tear::Whole;
        }
        match self.pick(8) {
            0 => Tear::MidCopy,
            1 => Tear::Sectors,
            2 => Tear::Lines,
            _ => Tear::Whole,
        }
    }

    fn size(&mut self, durable: u64, newest: u64) -> u64 {
        match self.pick(3) {
            0 => durable,
            1 => newest,
            _ => durable + self.rng.below(newest - durable + 1),
        }
    }
}

/// Walks through every row of choices, like a counter whose digits have their own bases.
#[derive(Debug, Default)]
pub(super) struct Odometer {
    /// What was chosen, and out of how many.
    digits: Vec<(usize, usize)>,
    at: usize,
}

impl Odometer {
    /// Turns to the next row; false after the last.
    pub(super) fn turn(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, of)) = self.digits.pop() {
            if chosen + 1 < of {
                self.digits.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

impl Dice for Odometer {
    fn pick(&mut self, n: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push((0, n));
        }
        self.at += 1;
        self.digits[self.at - 1].0
    }
}
