//! From a seed to a list of operations.

use super::draw::{Draw, Rng, fat};
use super::ops::{Bytes, Change, End, Look, Op, Request, Write};

/// What the store behind is: some operations make sense on a hand-turned one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// The clock, the log and the sweeper are turned by hand.
    pub(crate) by_hand: bool,
}

/// Draws operations.
#[derive(Debug)]
pub(crate) struct Generator {
    draw: Draw,
    kinds: Kinds,
    requests: Vec<(Write, Request)>,
    ids: u64,
    /// Operations between two restarts, about.
    run: usize,
}

impl Generator {
    pub(crate) fn new(seed: u64, kinds: Kinds) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            run: rng.pick(&[60, 250, 1500]),
            draw: Draw { rng },
            kinds,
            requests: Vec::new(),
            ids: 0,
        }
    }

    pub(crate) fn list(seed: u64, kinds: Kinds, count: usize) -> Vec<Op> {
        let mut generator = Self::new(seed, kinds);
        (0..count).map(|_| generator.op()).collect()
    }

    pub(crate) fn op(&mut self) -> Op {
        if self.kinds.by_hand {
            if self.draw.rng.once_in(self.run) {
                return self.restart();
            }
            match self.draw.rng.below(200) {
                0..=17 => return Op::Advance(self.draw.step()),
                18..=20 => return Op::SetWall(self.draw.jump()),
                21..=29 => return Op::Sweep,
                30..=59 => return Op::Turn,
                _ => {}
            }
        }
        if self.draw.rng.below(10) < 7 {
            let (write, request) = self.write_maybe_named();
            return Op::Write(write, request);
        }
        Op::Look(self.look())
    }

    fn restart(&mut self) -> Op {
        let end = match self.draw.rng.below(6) {
            0 => End::Close,
            1 => End::Kill,
            2 => End::Crash { durable: true },
            3 | 4 => End::Crash { durable: false },
            _ => End::Cut {
                after: self.draw.rng.next() % 12,
            },
        };
        let away = if self.draw.rng.once_in(2) {
            self.draw.step()
        } else {
            0
        };
        let seed = self.draw.rng.next();
        Op::Restart { end, away, seed }
    }

    /// A third of all writes have an id; a third of those had it before.
    fn write_maybe_named(&mut self) -> (Write, Option<Request>) {
        if !self.draw.rng.once_in(3) {
            return (self.write(), None);
        }
        if !self.requests.is_empty() && self.draw.rng.once_in(3) {
            // Mostly one of the last: retries come soon.
            let span = if self.draw.rng.once_in(4) {
                usize::MAX
            } else {
                8
            };
            let back = self.draw.rng.below(self.requests.len().min(span)) + 1;
            let (mut write, mut request) = self.requests[self.requests.len() - back].clone();
            if self.draw.rng.once_in(6) {
                self.ids += 1;
                request.fingerprint = self.ids;
                write = self.write();
            } else if self.draw.rng.once_in(8) {
                request.item += 1;
            }
            return (write, Some(request));
        }
        let write = self.write();
        self.ids += 1;
        let id = match self.draw.rng.below(60) {
            0 => Vec::new(),
            1 => vec![b'x'; 65],
            2 => vec![0xff; 64],
            _ => format!("id{}", self.ids).into_bytes(),
        };
        let request = Request {
            id: Bytes(id),
            fingerprint: self.ids,
            item: 0,
        };
        self.requests.push((write.clone(), request.clone()));
        (write, Some(request))
    }

    fn write(&mut self) -> Write {
        match self.draw.rng.below(20) {
            0..=10 => Write::One(self.draw.change()),
            11 if self.draw.rng.once_in(60) => fat(),
            11..=12 => {
                let mut count = 1 + self.draw.rng.below(4);
                if self.draw.rng.once_in(40) {
                    count = self.draw.rng.pick(&[0, 16, 17]);
                }
                let mut changes: Vec<Change> = Vec::new();
                for _ in 0..count {
                    let change = self.draw.change();
                    let twice = changes.iter().any(|other| other.key == change.key);
                    if !twice || count > 15 || self.draw.rng.once_in(20) {
                        changes.push(change);
                    }
                }
                Write::All(changes)
            }
            13..=17 => Write::Txn(self.draw.txn(0)),
            18 => Write::DeleteRange {
                range: self.draw.range(),
                limit: self.draw.limit(),
            },
            _ => Write::Chunk {
                range: self.draw.range(),
                limit: self.draw.limit(),
            },
        }
    }

    fn look(&mut self) -> Look {
        match self.draw.rng.below(12) {
            0..=3 => Look::Get(self.draw.key()),
            4..=5 => {
                let mut count = self.draw.rng.below(6);
                if self.draw.rng.once_in(40) {
                    count = 17;
                }
                Look::Batch((0..count).map(|_| self.draw.key()).collect())
            }
            6..=7 => {
                let after = self.draw.rng.once_in(2).then(|| self.draw.key());
                Look::Page(self.draw.page(), after)
            }
            8..=9 => Look::Scan(self.draw.page()),
            10 => Look::Count {
                range: self.draw.range(),
                keys: 1 + self.draw.rng.below(14),
            },
            _ => Look::Hash(self.draw.range()),
        }
    }
}
