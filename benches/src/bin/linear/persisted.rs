//! What the log holds of a run, read by `kvd dump` when no daemon runs any more: the
//! independent witness that watches are held against.
//!
//! After a kill kvd's numbering jumps, and a revision in the gap never was. Others, such as
//! etcd's model, number without gaps: [`Log::rank`] turns our numbers into theirs. It keeps
//! the order and is one to one, so nothing that holds of the one is untrue of the other.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What one revision did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    /// None: it was removed.
    pub(crate) value: Option<String>,
}

/// Every revision of a store from its first change on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    revisions: Vec<(i64, Vec<Change>)>,
}

/// The revision before the first change.
const NEW_STORE: usize = 1;

impl Log {
    pub(crate) fn read(kvd: &Path, dir: &Path) -> Result<Self, Box<dyn Error>> {
        let output = Command::new(kvd)
            .args(["dump", "--output", "jsonl"])
            .arg(dir)
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("kvd dump {}: {why}", dir.display()).into());
        }
        Self::parse(std::str::from_utf8(&output.stdout)?)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut log = Self::default();
        for line in text.lines() {
            let object: Value = serde_json::from_str(line)?;
            let word = |name: &str| object[name].as_str().map(str::to_owned);
            let odd = || format!("kvd dump tells something else than a change: {line}");
            let revision = object["revision"].as_i64().ok_or_else(odd)?;
            let value = match object["type"].as_str() {
                Some("SET") => Some(word("value").ok_or_else(odd)?),
                Some("DELETE") => None,
                _ => return Err(odd().into()),
            };
            let key = word("key").ok_or_else(odd)?;
            let change = Change { key, value };
            match log.revisions.last_mut() {
                Some((last, changes)) if *last == revision => changes.push(change),
                Some((last, _)) if *last > revision => return Err(odd().into()),
                _ => log.revisions.push((revision, vec![change])),
            }
        }
        Ok(log)
    }

    /// Each revision with its changes, in order.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = (i64, &[Change])> {
        let revisions = self.revisions.iter();
        revisions.map(|(revision, changes)| (*revision, &changes[..]))
    }

    /// The number of the newest revision up to this one, if none were left out.
    pub(crate) fn rank(&self, revision: i64) -> i64 {
        let up_to = self
            .revisions
            .partition_point(|(known, _)| *known <= revision);
        i64::try_from(up_to + NEW_STORE).unwrap_or(i64::MAX)
    }

    /// The number that a revision has if it is one, and one that nothing has otherwise.
    pub(crate) fn exact(&self, revision: i64) -> i64 {
        match self
            .revisions
            .binary_search_by_key(&revision, |(known, _)| *known)
        {
            Ok(_) => self.rank(revision),
            Err(_) if revision <= 1 => revision,
            Err(_) => i64::MAX / 2,
        }
    }

    /// The number of the first revision that is not before this one.
    pub(crate) fn from(&self, revision: i64) -> i64 {
        self.rank(revision - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
{\"revision\":2,\"type\":\"SET\",\"key\":\"a\",\"value\":\"1\"}
{\"revision\":3,\"type\":\"SET\",\"key\":\"b\",\"value\":\"2\"}
{\"revision\":3,\"type\":\"DELETE\",\"key\":\"a\"}
{\"revision\":900,\"type\":\"SET\",\"key\":\"a\",\"value\":\"3\"}
";

    #[test]
    fn numbers_lose_their_gaps_and_keep_their_order() {
        let log = Log::parse(DUMP).expect("a dump");
        assert_eq!(
            log.revisions()
                .map(|(_, changes)| changes.len())
                .collect::<Vec<_>>(),
            [1, 2, 1]
        );
        assert_eq!(
            [1, 2, 3, 4, 899, 900, 901].map(|r| log.rank(r)),
            [1, 2, 3, 3, 3, 4, 4]
        );
        assert_eq!(
            [1, 2, 3, 4, 899, 900, 901].map(|r| log.from(r)),
            [2, 2, 3, 4, 4, 4, 5]
        );
        assert_eq!([0, 1, 2, 900].map(|r| log.exact(r)), [0, 1, 2, 4]);
        assert!(log.exact(4) > 1_000 && log.exact(901) > 1_000);
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for line in [
            "{}",
            "{\"revision\":2,\"type\":\"METADATA\",\"key\":\"a\"}",
            "x",
        ] {
            assert!(Log::parse(line).is_err(), "{line}");
        }
        let back = DUMP.lines().rev().collect::<Vec<_>>().join("\n");
        assert!(Log::parse(&back).is_err());
    }
}
