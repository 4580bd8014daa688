//! What must hold for a write: the flags that set and del share.

use std::ffi::OsString;

use kvproto::v1::{self, condition::Test};

use crate::args::bytes_of;

#[derive(Debug, Default, clap::Args)]
#[group(id = "condition", multiple = false)]
#[command(next_help_heading = "Conditions, one at most")]
#[expect(clippy::struct_field_names, reason = "named like the flags")]
pub(crate) struct ConditionArgs {
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
    /// Only if the key exists
    #[arg(long)]
    if_present: bool,
    /// Only if the key was last changed at this revision (0: does not exist)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    if_revision: Option<i64>,
    /// Only if the key has this version (0: does not exist)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    if_version: Option<i64>,
    /// Only if the key was created at this revision (0: does not exist)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    if_created: Option<i64>,
    /// Only if the key exists and has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    if_value: Option<OsString>,
}

impl ConditionArgs {
    pub(super) fn into_condition(self) -> Option<v1::Condition> {
        let test = if self.if_absent {
            Test::Exists(false)
        } else if self.if_present {
            Test::Exists(true)
        } else if let Some(revision) = self.if_revision {
            Test::ModRevision(revision)
        } else if let Some(version) = self.if_version {
            Test::Version(version)
        } else if let Some(revision) = self.if_created {
            Test::CreateRevision(revision)
        } else {
            Test::Value(bytes_of(self.if_value?))
        };
        Some(v1::Condition { test: Some(test) })
    }
}

/// How the record stands that a condition met, for people.
pub(super) fn stands(key: &str, current: Option<&v1::Record>) -> String {
    match current {
        Some(current) => format!(
            "{key} exists, last changed at revision {}",
            current.mod_revision
        ),
        None => format!("{key} does not exist"),
    }
}
