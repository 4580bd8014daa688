//! Flags and environment, resolved into what a run needs.

use std::{env, time::Duration};

use crate::{
    args::{CallFlags, Cli},
    command::Command,
    endpoint::{self, Endpoint},
    failure::Failure,
    output::Format,
};

const ENDPOINT_VARIABLE: &str = "KVCLI_ENDPOINT";
const DEFAULT_WINDOW: u16 = 1_024;

/// What a run needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// In the order they are tried; never empty.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) timeout: Duration,
    pub(crate) format: Format,
    pub(crate) call: CallFlags,
    /// Script lines sent and not yet answered.
    pub(crate) window: usize,
    pub(crate) continue_on_error: bool,
}

impl Settings {
    pub(crate) fn resolve(cli: &Cli, on_terminal: bool) -> Result<Self, Failure> {
        let flags = &cli.flags;
        if cli.command.is_some() && (flags.window.is_some() || flags.continue_on_error) {
            return Err(Failure::usage(
                "--window and --continue-on-error are for scripts, and a command is given",
            ));
        }
        let exact = cli.command.as_ref().is_some_and(Command::wants_exact_bytes);
        let format = match flags.output {
            Some(format) if exact && format != Format::Raw => {
                return Err(Failure::usage("--no-newline needs the raw format (-o raw)"));
            }
            Some(format) => format,
            None if on_terminal && !exact => Format::Table,
            None => Format::Raw,
        };
        Ok(Self {
            endpoints: endpoints(&flags.endpoint)?,
            timeout: flags.timeout,
            format,
            call: cli.call,
            window: usize::from(flags.window.unwrap_or(DEFAULT_WINDOW)),
            continue_on_error: flags.continue_on_error,
        })
    }
}

fn endpoints(given: &[Endpoint]) -> Result<Vec<Endpoint>, Failure> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    match env::var(ENDPOINT_VARIABLE) {
        Ok(list) => list
            .split(',')
            .map(|text| text.trim().parse())
            .collect::<Result<_, String>>()
            .map_err(|error| Failure::usage(format!("{ENDPOINT_VARIABLE}: {error}"))),
        Err(env::VarError::NotPresent) => {
            let default = endpoint::DEFAULT.parse().map_err(Failure::Usage)?;
            Ok(vec![default])
        }
        Err(error) => Err(Failure::usage(format!("{ENDPOINT_VARIABLE}: {error}"))),
    }
}

/// Reads `250ms`, `5s`, `1m`, `2h`. A bare number is refused: it says no unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if digits > 0 => return Err(format!("{text:?} has no unit; write {text}ms or {text}s")),
        _ => return Err("write a whole number and ms, s, m or h, as in 250ms".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "write a whole number and a unit, as in 250ms".to_owned())?;
    let longest = 24 * 3_600_000;
    match number.checked_mul(unit_ms) {
        Some(0) => Err("has to be longer than nothing".to_owned()),
        Some(ms) if ms <= longest => Ok(Duration::from_millis(ms)),
        _ => Err("has to be at most 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let good = [
            ("1ms", 1),
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
        ];
        for (text, ms) in good {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        let bad = [
            ("5", "no unit"),
            ("", "whole number"),
            ("s", "whole number"),
            ("1.5s", "whole number"),
            ("-1s", "whole number"),
            ("5 s", "whole number"),
            ("5d", "whole number"),
            ("0s", "longer than nothing"),
            ("25h", "at most"),
            ("99999999999999999999s", "whole number"),
            ("9999999999999999999h", "at most"),
        ];
        for (text, part) in bad {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
