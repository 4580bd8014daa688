//! What is asked of a bench, made whole and checked.

use std::{fmt::Write as _, time::Duration};

use crate::{
    call::Caller,
    failure::Failure,
    metrics::{Place, parse_place},
    settings::{Settings, parse_duration},
};

/// The server takes no more.
const MOST_IN_FLIGHT: u32 = 65_536;
/// Room for the number of a key in its name.
const DIGITS: usize = 8;
/// Number, version and a check, so that no value is like another.
pub(super) const LEAST_VALUE: usize = 16;

const LONG_ABOUT: &str = "\
Puts load on a server and measures it.

Operations are single Gets and Sets. Without --rate each lane asks again as soon
as it is answered (a closed loop); with --rate operations are due at fixed moments,
and their time is taken from then (an open loop), whether a lane was free or not.
Every value read is compared with what was written.

A store that holds keys is refused unless --beside-data is given. Keys are written
under a prefix of this run and removed at the end, also after Ctrl-C.

Exit code 1: an answer was wrong; 4: operations were refused.";

/// Put load on a server and measure it
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Args {
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    connections: u32,
    /// Operations in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    in_flight: u32,
    /// Threads of this program
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Longest time of measuring
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Most operations [default: as many as fit in the time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Operations that are due in a second, together [default: as fast as they are answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Of a hundred operations, how many are reads
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    reads: u32,
    /// Keys, written once before measuring
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,
    /// Size of a key, as in 32B
    #[arg(long, value_name = "SIZE", default_value = "32B", value_parser = parse_size)]
    key_size: usize,
    /// Size of a value, as in 64B, 4KiB, 1MiB
    #[arg(long, value_name = "SIZE", default_value = "64B", value_parser = parse_size)]
    value_size: usize,
    /// What the keys begin with, before the name of the run
    #[arg(long, value_name = "PREFIX", default_value = "kvcli-bench/")]
    prefix: String,
    /// Run on a store that holds keys
    #[arg(long)]
    beside_data: bool,
    /// Leave the keys that were written
    #[arg(long)]
    keep: bool,
    /// Where the server has its /metrics, for its CPU time: host:port or off
    /// [default: the port after that of gRPC]
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    metrics: Option<Place>,
}

/// A bench that can be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) connections: u32,
    pub(super) in_flight: u32,
    pub(super) threads: u32,
    pub(super) duration: Duration,
    pub(super) count: Option<u64>,
    pub(super) rate: Option<u64>,
    pub(super) reads: u32,
    pub(super) keys: u64,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    /// Of all keys of this run, and of no other.
    pub(super) prefix: String,
    pub(super) beside_data: bool,
    pub(super) keep: bool,
    pub(super) metrics: Option<Place>,
    pub(super) endpoint: crate::endpoint::Endpoint,
}

impl Args {
    pub(super) fn plan(self, settings: &Settings, caller: &Caller) -> Result<Plan, Failure> {
        let together = self.connections * self.in_flight;
        if together > MOST_IN_FLIGHT {
            return Err(Failure::Usage(format!(
                "{} connections with {} operations each are {together} in flight; \
                 a server takes {MOST_IN_FLIGHT}",
                self.connections, self.in_flight
            )));
        }
        if self.value_size < LEAST_VALUE {
            return Err(Failure::Usage(format!(
                "--value-size has to be at least {LEAST_VALUE}B: a value says what it is"
            )));
        }
        if settings.call.request_id.is_some() || settings.call.at_revision.is_some() {
            return Err(Failure::usage(
                "--request-id and --at-revision are for single commands, and a bench sends many",
            ));
        }
        let prefix = format!("{}{}/", self.prefix, run_name()?);
        let least = prefix.len() + DIGITS;
        if self.key_size < least {
            return Err(Failure::Usage(format!(
                "--key-size has to be at least {least}B, with the prefix {prefix:?}"
            )));
        }
        Ok(Plan {
            connections: self.connections,
            in_flight: self.in_flight,
            threads: self.threads.min(self.connections),
            duration: self.duration,
            count: self.count,
            rate: self.rate,
            reads: self.reads,
            // Every lane has one at least.
            keys: self.keys.max(u64::from(together)),
            key_size: self.key_size,
            value_size: self.value_size,
            prefix,
            beside_data: self.beside_data,
            keep: self.keep,
            metrics: self.metrics,
            endpoint: caller.endpoint.clone(),
        })
    }
}

/// A name that no other run has.
fn run_name() -> Result<String, Failure> {
    let mut id = [0; 4];
    getrandom::fill(&mut id)
        .map_err(|error| Failure::usage(format!("cannot draw a name for the run: {error}")))?;
    Ok(id.iter().fold(String::new(), |mut name, byte| {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
        name
    }))
}

/// Reads `64B`, `4KiB`, `1MiB`. A bare number is refused: it says no unit.
fn parse_size(text: &str) -> Result<usize, String> {
    const LARGEST: usize = 16 * 1024 * 1024;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "B" => 1,
        "KiB" => 1_024,
        "MiB" => 1_024 * 1_024,
        "" if digits > 0 => {
            return Err(format!("{text:?} has no unit; write {text}B or {text}KiB"));
        }
        _ => return Err("write a whole number and B, KiB or MiB, as in 4KiB".to_owned()),
    };
    let number: usize = number.parse().map_err(|_| "is no number".to_owned())?;
    match number.checked_mul(unit) {
        Some(size) if (1..=LARGEST).contains(&size) => Ok(size),
        _ => Err("has to be from 1B to 16MiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        for (text, size) in [("1B", 1), ("4KiB", 4_096), ("16MiB", 16 * 1024 * 1024)] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "4",
            "4kb",
            "B",
            "0B",
            "17MiB",
            "99999999999999999999MiB",
            "-1B",
            "1.5KiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn runs_have_names_of_their_own() {
        let names: std::collections::HashSet<String> =
            (0..50).map(|_| run_name().expect("drawn")).collect();
        assert_eq!(names.len(), 50);
    }
}
