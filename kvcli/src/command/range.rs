//! Which keys: the flags of every command that works on a range.

use std::ffi::OsString;

use bytes::Bytes;
use kvproto::v1::{self, key_range::Range};

use crate::{args::bytes_of, failure::Failure, text::show};

/// The flags that name a range; without any of them it is every key.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RangeArgs {
    /// First key of the range; without it, the first of all
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) start: Option<OsString>,
    /// End of the range, not part of it; without it, behind the last of all
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) end: Option<OsString>,
    /// Exactly this key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true,
        conflicts_with_all = ["start", "end"])]
    pub(crate) key: Option<OsString>,
}

impl RangeArgs {
    /// The range together with a prefix. None if nothing was said.
    pub(crate) fn into_range(
        self,
        prefix: Option<OsString>,
    ) -> Result<Option<v1::KeyRange>, Failure> {
        if prefix.is_some() && (self.start.is_some() || self.end.is_some() || self.key.is_some()) {
            return Err(Failure::usage(
                "a prefix cannot be used with --start, --end and --key",
            ));
        }
        let range = match (prefix, self.key, self.start, self.end) {
            (Some(prefix), ..) => Range::Prefix(bytes_of(prefix)),
            (_, Some(key), ..) => Range::Key(bytes_of(key)),
            (_, _, None, None) => return Ok(None),
            (_, _, start, end) => Range::Span(v1::Span {
                start: bound(start, "--start")?,
                end: bound(end, "--end")?,
            }),
        };
        Ok(Some(v1::KeyRange { range: Some(range) }))
    }
}

/// An empty bound would mean none; that is said by leaving it out.
fn bound(bound: Option<OsString>, flag: &str) -> Result<Bytes, Failure> {
    let Some(bound) = bound else {
        return Ok(Bytes::new());
    };
    let bound = bytes_of(bound);
    if bound.is_empty() {
        return Err(Failure::usage(format!(
            "{flag} needs a key; leave it out to have no bound there"
        )));
    }
    Ok(bound)
}

/// Every key there is.
pub(crate) fn all() -> v1::KeyRange {
    v1::KeyRange {
        range: Some(Range::All(v1::AllKeys {})),
    }
}

/// A range for people.
pub(super) fn describe(range: Option<&v1::KeyRange>) -> String {
    match range.and_then(|range| range.range.as_ref()) {
        Some(Range::Prefix(prefix)) => format!("that begin with {}", show(prefix)),
        Some(Range::Key(key)) => format!("that are {}", show(key)),
        Some(Range::Span(span)) => match (span.start.is_empty(), span.end.is_empty()) {
            (false, false) => {
                format!("from {} to before {}", show(&span.start), show(&span.end))
            }
            (false, true) => format!("from {} on", show(&span.start)),
            _ => format!("before {}", show(&span.end)),
        },
        Some(Range::All(_)) => "there are".to_owned(),
        None => "of no range".to_owned(),
    }
}
