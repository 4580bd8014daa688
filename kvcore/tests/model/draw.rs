//! The parts of operations. Keys are few and values small, so that everything collides;
//! numbers that are compared are mostly those that the key has at that moment.

use super::ops::{
    Action, Bytes, Change, Compare, Condition, Expiry, Increment, Moment, Number, Operator, PageOf,
    Range, Target, Txn, TxnOp, When, Write,
};

const KEYS: &[&[u8]] = &[
    b"a",
    b"a\0",
    b"ab",
    b"ab\xff",
    b"ab\xff\xff",
    b"abc",
    b"b",
    b"\0",
    b"\xff",
    b"\xff\xff",
    b"n1",
    b"n2",
];
const VALUES: &[&[u8]] = &[
    b"",
    b"0",
    b"1",
    b"-1",
    b"7",
    b"07",
    b"+7",
    b"-0",
    b"7 ",
    b"x",
    b"\xff\0",
    b"-",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
];
const DELTAS: &[i64] = &[1, -1, 2, 7, i64::MAX, i64::MIN, -7, 3];
const BOUNDS: &[i64] = &[i64::MIN, -7, 0, 7, i64::MAX];
const TTLS: &[u64] = &[1, 5, 5, 50, 50, 1000, 60_000, 600_000, TTL_MAX];
const OFFSETS: &[i64] = &[-1_000_000, -1, 0, 1, 5, 50, 50, 1000, 60_000, 600_000];
const STEPS: &[u64] = &[1, 4, 5, 50, 50, 400, 999, 1000, 5000, 60_000, 400_000];
const JUMPS: &[i64] = &[
    400, -400, 999, -999, 1000, -1000, 60_000, -60_000, 3_600_000, -3_600_000, 86_400_000,
];
const TTL_MAX: u64 = 100 * 366 * 86_400_000;

/// The same numbers for the same seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("below a usize")
    }

    /// Once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Draws the parts of operations.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub(crate) rng: Rng,
}

impl Draw {
    pub(crate) fn step(&mut self) -> u64 {
        self.rng.pick(STEPS)
    }

    /// How far the wall clock is set.
    pub(crate) fn jump(&mut self) -> i64 {
        self.rng.pick(JUMPS)
    }

    pub(crate) fn change(&mut self) -> Change {
        let condition = self.rng.once_in(4).then(|| self.condition());
        Change {
            key: self.key(),
            action: self.action(),
            condition,
        }
    }

    fn action(&mut self) -> Action {
        match self.rng.below(12) {
            0..=4 => Action::Set {
                value: self.value(),
                expiry: self.expiry(),
            },
            5..=6 => Action::Delete,
            7..=9 => Action::Increment(self.increment()),
            _ => Action::Expire {
                to: self.expiry(),
                when: self.rng.pick(&[
                    When::Always,
                    When::Always,
                    When::IfNone,
                    When::IfSome,
                    When::IfLater,
                    When::IfEarlier,
                ]),
            },
        }
    }

    fn increment(&mut self) -> Increment {
        let bounded = self.rng.once_in(3);
        let (mut min, mut max) = (i64::MIN, i64::MAX);
        if bounded {
            (min, max) = (self.rng.pick(BOUNDS), self.rng.pick(BOUNDS));
            if min > max && !self.rng.once_in(20) {
                (min, max) = (max, min);
            }
        }
        let delta = if self.rng.once_in(60) {
            0
        } else {
            self.rng.pick(DELTAS)
        };
        Increment {
            delta,
            initial: if self.rng.once_in(3) {
                self.rng.pick(BOUNDS)
            } else {
                0
            },
            min,
            max,
            saturate: self.rng.once_in(3),
            expiry: self.expiry(),
        }
    }

    fn expiry(&mut self) -> Expiry {
        match self.rng.below(12) {
            0..=4 => Expiry::Never,
            5..=8 => {
                let ttl = self.rng.pick(TTLS);
                let bad = [0, TTL_MAX + 1, u64::MAX];
                Expiry::After(if self.rng.once_in(60) {
                    self.rng.pick(&bad)
                } else {
                    ttl
                })
            }
            9 | 10 => {
                let moment = Moment::FromNow(self.rng.pick(OFFSETS));
                let far = [0, 1, u64::MAX].map(Moment::Wall);
                Expiry::At(if self.rng.once_in(20) {
                    self.rng.pick(&far)
                } else {
                    moment
                })
            }
            _ => Expiry::Keep,
        }
    }

    fn number(&mut self) -> Number {
        match self.rng.below(8) {
            0 => Number::Exactly(self.rng.pick(&[0, 1, 2, u64::MAX])),
            1 => Number::Current(1),
            2 => Number::Current(-1),
            _ => Number::Current(0),
        }
    }

    fn condition(&mut self) -> Condition {
        match self.rng.below(6) {
            0 => Condition::Exists(true),
            1 => Condition::Exists(false),
            2 => Condition::Modified(self.number()),
            3 => Condition::Created(self.number()),
            4 => Condition::Version(self.number()),
            _ => Condition::Value(self.value()),
        }
    }

    fn compare(&mut self) -> Compare {
        let target = match self.rng.below(8) {
            0 => Target::Version(self.number()),
            1 => Target::Created(self.number()),
            2 => Target::Modified(self.number()),
            3 | 4 => Target::Value(self.value()),
            5 => Target::Lease(self.rng.pick(&[0, 1])),
            _ => Target::Exists(self.rng.once_in(2)),
        };
        let range = if self.rng.once_in(3) {
            self.range()
        } else {
            Range::Key(self.key())
        };
        let ordered = !matches!(target, Target::Exists(_)) || self.rng.once_in(20);
        let operators = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Greater,
            Operator::Less,
        ];
        let operator = self.rng.pick(&operators[..if ordered { 4 } else { 2 }]);
        Compare {
            range,
            operator,
            target,
        }
    }

    pub(crate) fn txn(&mut self, depth: usize) -> Txn {
        if depth == 0 && self.rng.once_in(60) {
            return self.deep();
        }
        let compares = if self.rng.once_in(3) {
            0
        } else {
            1 + self.rng.below(2)
        };
        Txn {
            compares: (0..compares).map(|_| self.compare()).collect(),
            success: self.txn_ops(depth),
            failure: self.txn_ops(depth),
        }
    }

    /// As deep as transactions may be, or deeper by one.
    fn deep(&mut self) -> Txn {
        let mut txn = Txn {
            success: vec![TxnOp::Get(self.key())],
            ..Txn::default()
        };
        for _ in 0..8 + self.rng.below(2) {
            let inner = vec![TxnOp::Txn(txn)];
            let mut outer = Txn::default();
            if self.rng.once_in(2) {
                outer.success = inner;
            } else {
                outer.failure = inner;
            }
            txn = outer;
        }
        txn
    }

    fn txn_ops(&mut self, depth: usize) -> Vec<TxnOp> {
        let count = self.rng.below(if depth == 0 { 5 } else { 3 });
        let mut used: Vec<Bytes> = Vec::new();
        let mut ops = Vec::new();
        for _ in 0..count {
            ops.push(match self.rng.below(12) {
                0..=1 => TxnOp::Get(self.key()),
                2..=7 => {
                    let mut key = self.key();
                    if used.contains(&key) && !self.rng.once_in(20) {
                        key = self.key();
                    }
                    used.push(key.clone());
                    TxnOp::Change {
                        key,
                        action: self.action(),
                        show_previous: self.rng.once_in(2),
                    }
                }
                8 => TxnOp::RangeGet {
                    range: self.range(),
                    limit: self.limit(),
                    reverse: self.rng.once_in(2),
                },
                9 => TxnOp::RangeDelete {
                    range: self.range(),
                    limit: self.limit(),
                },
                _ if depth < 3 => TxnOp::Txn(self.txn(depth + 1)),
                _ => TxnOp::Get(self.key()),
            });
        }
        ops
    }

    pub(crate) fn page(&mut self) -> PageOf {
        PageOf {
            range: self.range(),
            reverse: self.rng.once_in(2),
            records: self.rng.pick(&[1, 1, 2, 3, 5, 20]),
            bytes: self.rng.pick(&[1, 8, 30, 1 << 20, 1 << 20]),
        }
    }

    pub(crate) fn range(&mut self) -> Range {
        match self.rng.below(8) {
            0 => Range::All,
            1 => Range::Key(self.key()),
            2..=4 => {
                let key = self.key();
                let len = 1 + self.rng.below(key.len().max(1));
                Range::Prefix(Bytes(key.0.into_iter().take(len).collect()))
            }
            5 => Range::Span(self.key(), Bytes::default()),
            _ => Range::Span(self.key(), self.key()),
        }
    }

    pub(crate) fn limit(&mut self) -> usize {
        self.rng.pick(&[0, 0, 1, 2, 3])
    }

    /// Now and then one that is refused.
    pub(crate) fn key(&mut self) -> Bytes {
        if self.rng.once_in(400) {
            return Bytes(vec![b'k'; self.rng.pick(&[0, 64, 65])]);
        }
        Bytes::from(self.rng.pick(KEYS))
    }

    fn value(&mut self) -> Bytes {
        if self.rng.once_in(60) {
            return Bytes(vec![b'v'; self.rng.pick(&[900, 1024, 1025])]);
        }
        Bytes::from(self.rng.pick(VALUES))
    }
}

/// More bytes than a unit may have.
pub(crate) fn fat() -> Write {
    let change = |&key: &&[u8]| Change {
        key: Bytes::from(key),
        action: Action::Set {
            value: Bytes(vec![b'f'; 1000]),
            expiry: Expiry::Never,
        },
        condition: None,
    };
    Write::All(KEYS[..9].iter().map(change).collect())
}
