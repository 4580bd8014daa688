//! What can be said of a watch.

use std::ffi::OsString;

use bytes::Bytes;
use clap::ValueEnum;
use kvproto::v1::{self, EventCause, EventType, OnCompacted, ReadLevel, watch_start::Start};

use crate::{
    args::{CallFlags, parse_base64},
    command::{RangeArgs, all_keys},
    failure::Failure,
};

/// Show every change of a key or a range as it happens
///
/// In order, each once, also over broken connections and restarts of the server: the
/// watch goes on by itself behind what it has shown, and says so. Runs until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// This key; without it and without a range, every key
    #[arg(value_name = "KEY", conflicts_with_all = ["prefix", "key", "start", "end"])]
    only: Option<OsString>,
    /// Keys that begin so
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    prefix: Option<OsString>,
    #[command(flatten)]
    range: RangeArgs,
    /// Begin with the changes of this revision [default: with what comes now]
    #[arg(long, value_name = "REVISION", group = "begin",
        value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,
    /// Begin behind this position, which json shows
    #[arg(long, value_name = "BASE64", group = "begin", value_parser = parse_base64)]
    position: Option<Bytes>,
    /// Begin with the records that there are
    #[arg(long, group = "begin")]
    current_state: bool,
    /// Show what each key held before
    #[arg(long)]
    previous: bool,
    /// Keys without their values
    #[arg(long)]
    keys_only: bool,
    /// Leave out changes of this type
    #[arg(long, value_name = "TYPE", value_enum)]
    exclude_type: Vec<Type>,
    /// Leave out changes with this cause
    #[arg(long, value_name = "CAUSE", value_enum)]
    exclude_cause: Vec<Cause>,
    /// When changes that are asked for are no longer held
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_compacted: Compacted,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// Run this in a shell for each event, one after the other
    ///
    /// The event is in KVD_TYPE, KVD_CAUSE, KVD_KEY and KVD_REVISION, and as a JSON object on
    /// standard input. A command that fails ends the watch before its event.
    #[arg(long, value_name = "COMMAND")]
    pub(super) exec: Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Type {
    Set,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Cause {
    Written,
    Deleted,
    RangeDeleted,
    Expired,
    Evicted,
    ExpiryChanged,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Compacted {
    /// End with what is held
    #[default]
    End,
    /// Show the records that there are, and go on
    Resync,
}

impl Args {
    pub(super) fn into_create(self, call: &CallFlags) -> Result<v1::WatchCreate, Failure> {
        let mut range = self.range;
        range.key = range.key.or(self.only);
        let range = range.into_range(self.prefix)?.unwrap_or_else(all_keys);
        let start = match (self.from, self.position) {
            (Some(revision), _) => Start::Revision(revision),
            (_, Some(position)) => Start::Position(position),
            _ if self.current_state => Start::CurrentState(v1::StartCurrentState {}),
            _ => Start::Now(v1::StartNow {}),
        };
        if call.request_id.is_some() {
            return Err(Failure::usage("--request-id is for writes"));
        }
        let read = call.read_options().unwrap_or_default();
        if read.at_revision != 0 || !read.min_position.is_empty() {
            return Err(Failure::usage(
                "--at-revision and --min-position are for reads; a watch begins with --from or \
                 --position",
            ));
        }
        let types = self.exclude_type.into_iter().map(|one| match one {
            Type::Set => EventType::Set.into(),
            Type::Delete => EventType::Delete.into(),
        });
        let causes = self.exclude_cause.into_iter().map(|one| match one {
            Cause::Written => EventCause::Written.into(),
            Cause::Deleted => EventCause::Deleted.into(),
            Cause::RangeDeleted => EventCause::RangeDeleted.into(),
            Cause::Expired => EventCause::Expired.into(),
            Cause::Evicted => EventCause::Evicted.into(),
            Cause::ExpiryChanged => EventCause::ExpiryChanged.into(),
        });
        Ok(v1::WatchCreate {
            watch_id: 0,
            range: Some(range),
            start: Some(v1::WatchStart { start: Some(start) }),
            previous_values: self.previous,
            keys_only: self.keys_only,
            exclude_types: types.collect(),
            exclude_causes: causes.collect(),
            progress_interval_ms: PROGRESS_MS,
            read_level: ReadLevel::try_from(read.level).unwrap_or_default().into(),
            on_compacted: match self.on_compacted {
                Compacted::End => OnCompacted::Cancel.into(),
                Compacted::Resync => OnCompacted::Resync.into(),
            },
            require: read.require,
        })
    }
}

/// How often the position moves on while nothing is told: what was looked at in vain need
/// not be looked at again after a restart.
const PROGRESS_MS: i64 = 10_000;
