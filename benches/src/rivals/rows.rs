//! Which calls are made to which servers.

use std::fmt;

use crate::shapes::Shape;
use crate::single::Mix;

/// A server under a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    KvdAlways,
    KvdInterval,
    RedisAlways,
    RedisEverySecond,
    Etcd,
    Floor,
}

impl Who {
    pub(super) const ALL: [Self; 6] = [
        Self::KvdAlways,
        Self::KvdInterval,
        Self::RedisAlways,
        Self::RedisEverySecond,
        Self::Etcd,
        Self::Floor,
    ];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KvdAlways | Self::KvdInterval => "kvd",
            Self::RedisAlways | Self::RedisEverySecond => "Redis",
            Self::Etcd => "etcd",
            Self::Floor => "floor",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Single {
        mix: Mix,
        zipf: bool,
    },
    /// Operations that are unanswered on a connection, and those of one message.
    Stream {
        writes: bool,
        batch: u32,
        message: u32,
    },
}

impl Ask {
    /// Operations of one call of the driver.
    pub(super) fn operations(self) -> u32 {
        match self {
            Self::Single { .. } => 1,
            Self::Stream { batch, .. } => batch,
        }
    }
}

/// One row for each server that it names.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) table: &'static str,
    pub(super) group: String,
    pub(super) ask: Ask,
    pub(super) shape: Shape,
    pub(super) value_bytes: usize,
    pub(super) who: &'static [Who],
}

/// Name and title of each table, in order.
pub(super) const TABLES: [(&str, &str); 5] = [
    ("set-always", "SET, acknowledged when on stable storage"),
    (
        "set-everysec",
        "SET, acknowledged when in the log, on stable storage within a second",
    ),
    ("get", "GET"),
    ("stream", "Many operations unanswered on four connections"),
    (
        "mixes",
        "Mixes of reads and writes, Zipf, as in set-everysec",
    ),
];

/// Sizes of values, and by how much fewer keys have them.
pub(super) const VALUES: [(usize, u32); 3] = [(64, 1), (1 << 10, 5), (64 << 10, 50)];

/// Operations unanswered on each connection of a stream.
pub(super) const BATCH: u32 = 64;
/// Connections that carry streams, one each.
const STREAMS: Shape = Shape::new(4, 1);
const WIDE: Shape = Shape::new(50, 1);
const DEEP: Shape = Shape::new(4, 64);

const ALWAYS: &[Who] = &[Who::KvdAlways, Who::RedisAlways, Who::Etcd];
const EVERY_SECOND: &[Who] = &[Who::KvdInterval, Who::RedisEverySecond];
const STREAM_ALWAYS: &[Who] = &[Who::KvdAlways, Who::RedisAlways];
const STREAM_EVERY_SECOND: &[Who] = &[Who::Floor, Who::KvdInterval, Who::RedisEverySecond];
const STREAM_ONLY: &[Who] = &[Who::Floor, Who::KvdInterval];

/// All of them, those with the same size of values together.
pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (value_bytes, _) in VALUES {
        // Small values in every shape, larger ones in one.
        let shapes = [DEEP, WIDE, Shape::new(1, 1)];
        let shapes = if value_bytes == 64 {
            &shapes[..]
        } else {
            &shapes[1..2]
        };
        for (table, mix, who) in [
            ("set-always", Mix::WRITE, ALWAYS),
            ("set-everysec", Mix::WRITE, EVERY_SECOND),
            ("get", Mix::READ, ALWAYS),
        ] {
            for &shape in shapes {
                all.push(Case {
                    table,
                    group: format!("{shape}, {}", size(value_bytes)),
                    ask: Ask::Single { mix, zipf: false },
                    shape,
                    value_bytes,
                    who,
                });
            }
        }
    }
    let small = VALUES[0].0;
    let streams = [
        ("SET, everysec", true, BATCH, STREAM_EVERY_SECOND),
        ("GET", false, BATCH, STREAM_EVERY_SECOND),
        ("SET, always", true, BATCH, STREAM_ALWAYS),
        ("SET, everysec", true, 1, STREAM_ONLY),
        ("GET", false, 1, STREAM_ONLY),
    ];
    let streams = streams.map(|(what, writes, message, who)| Case {
        table: "stream",
        group: stream(what, message),
        ask: Ask::Stream {
            writes,
            batch: BATCH,
            message,
        },
        shape: STREAMS,
        value_bytes: small,
        who,
    });
    let mixes = [
        ("A: half updates", 50, false),
        ("B: 5 % updates", 5, false),
        ("C: reads", 0, false),
        ("F: half reads and writes back", 50, true),
    ];
    let mixes = mixes.map(|(name, writes, read_first)| Case {
        table: "mixes",
        group: format!("YCSB {name}, {WIDE}"),
        ask: Ask::Single {
            mix: Mix { writes, read_first },
            zipf: true,
        },
        shape: WIDE,
        value_bytes: small,
        who: EVERY_SECOND,
    });
    // Before the larger values come, which take the place of the small ones.
    let large = all.iter().position(|case| case.value_bytes != small);
    let large = large.unwrap_or(all.len());
    all.splice(large..large, streams.into_iter().chain(mixes));
    all
}

/// What a group of the stream table is called.
fn stream(what: &str, message: u32) -> String {
    if message == 1 {
        format!("{what}, {BATCH} messages of 1")
    } else {
        format!("{what}, messages of {message}")
    }
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 10 {
        format!("{bytes} B")
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_change_twice_and_every_table_has_rows() {
        let cases = cases();
        let changes = cases
            .windows(2)
            .filter(|two| two[0].value_bytes != two[1].value_bytes);
        assert_eq!(changes.count(), 2);
        for (table, _) in TABLES {
            assert!(cases.iter().any(|case| case.table == table), "{table}");
        }
        for case in &cases {
            assert!(
                TABLES.iter().any(|(table, _)| *table == case.table),
                "{}",
                case.table
            );
            let twin = cases
                .iter()
                .filter(|other| other.table == case.table && other.group == case.group);
            assert_eq!(twin.count(), 1, "{} {}", case.table, case.group);
        }
    }

    #[test]
    fn promises_are_matched() {
        for case in cases() {
            let always = [Who::KvdAlways, Who::RedisAlways, Who::Etcd];
            let strong = case.who.iter().filter(|who| always.contains(who)).count();
            assert!(
                strong == 0 || strong == case.who.len(),
                "{} {}",
                case.table,
                case.group
            );
        }
    }
}
