//! When a written key ends: the flags that set and incr share.

use kvproto::v1::{self, expiry::When};

use crate::settings::parse_ttl;

#[derive(Debug, Default, clap::Args)]
#[group(id = "expiry", multiple = false)]
#[command(next_help_heading = "Expiry, one at most [default: never]")]
pub(crate) struct ExpiryArgs {
    /// The key ends after this long, as in 10s, 5m, 2h, 30d
    #[arg(long, value_name = "DURATION", value_parser = parse_ttl)]
    ttl: Option<i64>,
    /// The key ends at this moment, in ms since the Unix epoch
    #[arg(long, value_name = "UNIX_MS", allow_negative_numbers = true)]
    expire_at: Option<i64>,
    /// The key keeps the expiry that it has
    #[arg(long)]
    keep_ttl: bool,
    /// The key ends with this lease
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    lease: Option<i64>,
}

impl ExpiryArgs {
    pub(super) fn into_expiry(self) -> Option<v1::Expiry> {
        let when = if let Some(ttl) = self.ttl {
            When::TtlMs(ttl)
        } else if let Some(at) = self.expire_at {
            When::AtMs(at)
        } else if self.keep_ttl {
            When::Keep(v1::KeepExpiry {})
        } else {
            When::LeaseId(self.lease?)
        };
        Some(v1::Expiry { when: Some(when) })
    }
}
