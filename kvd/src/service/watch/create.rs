//! The request for a watch, off the wire.

use std::time::Duration;

use kvcore::base::op::Cause;
use kvproto::v1::{self, ErrorReason as Reason, watch_start::Start};

use super::super::convert::{bad_number, require, unknown_number, unsupported};
use super::super::limits::{Limits, PROGRESS_MS};
use super::super::ranges::range;
use super::super::status::Refusal;
use crate::backend::ReadLevel;
use crate::backend::watch::{EventKind, Filter, From, Level, OnCompacted, Want};

/// What a client asks for, beside the id.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) want: Want,
    pub(super) from: From,
    pub(super) progress: Option<Duration>,
}

impl Asked {
    /// `tag` is that of this store: positions of others are refused.
    pub(super) fn read(
        create: &v1::WatchCreate,
        limits: &Limits,
        default: ReadLevel,
        tag: [u8; 8],
    ) -> Result<Self, Refusal> {
        require(&create.require)?;
        Ok(Self {
            want: Want {
                range: range(create.range.as_ref(), limits)?,
                filter: filter(create)?,
                level: level(create.read_level, default)?,
                on_compacted: on_compacted(create.on_compacted)?,
            },
            from: start(create.start.as_ref(), tag)?,
            progress: progress(create.progress_interval_ms)?,
        })
    }
}

fn start(start: Option<&v1::WatchStart>, tag: [u8; 8]) -> Result<From, Refusal> {
    let Some(start) = start else {
        return Ok(From::Now);
    };
    match &start.start {
        None => Err(unsupported(
            "start",
            "the message is present but says nothing",
        )),
        Some(Start::Now(_)) => Ok(From::Now),
        Some(Start::CurrentState(_)) => Ok(From::CurrentState),
        Some(Start::Revision(revision)) => match u64::try_from(*revision) {
            Ok(revision) if revision > 0 => Ok(From::Revision(kvcore::Revision(revision))),
            _ => Err(bad_number(
                "start.revision",
                &format!(
                    "{revision} is none: the first change of a store is 2; say `now` to begin \
                          with the next one"
                ),
            )),
        },
        Some(Start::Position(position)) => {
            Ok(From::After(kvcore::Revision(read_position(position, tag)?)))
        }
    }
}

/// See `Shared::position` for what a position looks like.
fn read_position(position: &[u8], tag: [u8; 8]) -> Result<u64, Refusal> {
    let bad = |problem: &str| {
        let advice = "begin with the current state, or with a revision";
        Refusal::new(Reason::BadToken, format!("{problem}: {advice}")).field("start.position")
    };
    let number = position.get(1..9).and_then(|number| number.try_into().ok());
    let (Some(&version), Some(number), Some(store)) = (
        position.first(),
        number.map(u64::from_le_bytes),
        position.get(9..),
    ) else {
        return Err(bad("the position is cut short, or none of kvd's"));
    };
    if version != 1 {
        return Err(bad("the position was made by another version of kvd"));
    }
    if store.len() != tag.len() {
        return Err(bad("the position has another length than kvd gives it"));
    }
    if store != tag {
        return Err(bad("the position is of another store"));
    }
    Ok(number)
}

fn filter(create: &v1::WatchCreate) -> Result<Filter, Refusal> {
    let mut filter = Filter {
        previous: create.previous_values,
        keys_only: create.keys_only,
        ..Filter::default()
    };
    for &number in &create.exclude_types {
        filter = match v1::EventType::try_from(number) {
            Ok(v1::EventType::Set) => filter.without_kind(EventKind::Set),
            Ok(v1::EventType::Delete) => filter.without_kind(EventKind::Delete),
            Ok(v1::EventType::Unspecified) | Err(_) => {
                return Err(unknown_number("exclude_types", number));
            }
        };
    }
    for &number in &create.exclude_causes {
        let cause = match v1::EventCause::try_from(number) {
            Ok(v1::EventCause::Written) => Cause::Written,
            Ok(v1::EventCause::Deleted) => Cause::Deleted,
            Ok(v1::EventCause::RangeDeleted) => Cause::RangeDeleted,
            Ok(v1::EventCause::Expired) => Cause::Expired,
            Ok(v1::EventCause::Evicted) => Cause::Evicted,
            Ok(v1::EventCause::ExpiryChanged) => Cause::ExpiryChanged,
            Ok(v1::EventCause::State) => {
                let what = "the records of a resync are not changes: they cannot be excluded";
                return Err(unsupported("exclude_causes", what));
            }
            Ok(v1::EventCause::Unspecified) | Err(_) => {
                return Err(unknown_number("exclude_causes", number));
            }
        };
        filter = filter.without(cause);
    }
    Ok(filter)
}

fn level(number: i32, default: ReadLevel) -> Result<Level, Refusal> {
    let level = match v1::ReadLevel::try_from(number) {
        Ok(v1::ReadLevel::Unspecified) => default,
        Ok(v1::ReadLevel::Durable) => ReadLevel::Durable,
        Ok(v1::ReadLevel::Latest) => ReadLevel::Latest,
        Err(_) => return Err(unknown_number("read_level", number)),
    };
    Ok(match level {
        ReadLevel::Durable => Level::Durable,
        ReadLevel::Latest => Level::Latest,
    })
}

fn on_compacted(number: i32) -> Result<OnCompacted, Refusal> {
    match v1::OnCompacted::try_from(number) {
        Ok(v1::OnCompacted::Unspecified | v1::OnCompacted::Cancel) => Ok(OnCompacted::Cancel),
        Ok(v1::OnCompacted::Resync) => Ok(OnCompacted::Resync),
        Err(_) => Err(unknown_number("on_compacted", number)),
    }
}

fn progress(ms: i64) -> Result<Option<Duration>, Refusal> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(ms) if ms >= PROGRESS_MS => Ok(Some(Duration::from_millis(ms))),
        _ => Err(bad_number(
            "progress_interval_ms",
            &format!("{ms} is neither 0 (never) nor {PROGRESS_MS} at least"),
        )),
    }
}
