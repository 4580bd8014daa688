//! Flags and environment, resolved into what a run needs.

use std::{env, io, time::Duration};

use crate::{
    args::{CallFlags, Cli},
    command::Invocation,
    endpoint::{self, Endpoint},
    failure::Failure,
    output::{Format, Screen, paint::Paint},
};

const ENDPOINT_VARIABLE: &str = "KVCLI_ENDPOINT";
const DEFAULT_WINDOW: u16 = 1_024;

/// What a run needs to know.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that have nothing to do with each other"
)]
pub(crate) struct Settings {
    /// In the order they are tried; never empty.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) timeout: Duration,
    pub(crate) format: Format,
    pub(crate) screen: Screen,
    /// Whether the prompt has colours; it is on the terminal in any case.
    pub(crate) prompt_paint: bool,
    pub(crate) call: CallFlags,
    /// Script lines sent and not yet answered.
    pub(crate) window: usize,
    pub(crate) continue_on_error: bool,
    /// Whether flags were given that only a script has.
    pub(crate) for_scripts: bool,
    /// Whether a script outlives a broken connection.
    pub(crate) retry: bool,
}

impl Settings {
    pub(crate) fn resolve(cli: &Cli, on_terminal: bool) -> Result<Self, Failure> {
        let flags = &cli.flags;
        let for_scripts = flags.window.is_some() || flags.continue_on_error || flags.retry;
        if cli.command.is_some() && for_scripts {
            return Err(Failure::usage(
                "--window, --continue-on-error and --retry are for scripts, and a command is given",
            ));
        }
        if cli.command.is_none() && cli.call.request_id.is_some() {
            return Err(Failure::usage(
                "--request-id names one write; in a script it stands on the line of the write",
            ));
        }
        let exact = cli
            .command
            .as_ref()
            .is_some_and(Invocation::wants_exact_bytes);
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
            screen: Screen {
                paint: Paint(flags.color.wanted(on_terminal)),
                width: if on_terminal { terminal_width() } else { None },
            },
            prompt_paint: flags.color.wanted(true),
            call: cli.call.clone(),
            window: usize::from(flags.window.unwrap_or(DEFAULT_WINDOW)),
            continue_on_error: flags.continue_on_error,
            for_scripts,
            retry: flags.retry,
        })
    }
}

/// Columns of the terminal that standard output is.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
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
    const LONGEST_MS: u64 = 24 * 3_600_000;
    match milliseconds(text)? {
        Some(ms) if ms <= LONGEST_MS => Ok(Duration::from_millis(ms)),
        _ => Err("has to be at most 24h".to_owned()),
    }
}

/// A time to live in ms, as long as the server allows.
pub(crate) fn parse_ttl(text: &str) -> Result<i64, String> {
    let ms = milliseconds(text)?.and_then(|ms| i64::try_from(ms).ok());
    ms.ok_or_else(|| "is longer than any server allows".to_owned())
}

/// None if it is too long to be counted.
fn milliseconds(text: &str) -> Result<Option<u64>, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if digits > 0 => return Err(format!("{text:?} has no unit; write {text}ms or {text}s")),
        _ => return Err("write a whole number and ms, s, m, h or d, as in 250ms".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "write a whole number and a unit, as in 250ms".to_owned())?;
    if number == 0 {
        return Err("has to be longer than nothing".to_owned());
    }
    Ok(number.checked_mul(unit_ms))
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
            ("1d", 86_400_000),
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
            ("5w", "whole number"),
            ("2d", "at most"),
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

    #[test]
    fn a_time_to_live_may_be_long() {
        assert_eq!(parse_ttl("36500d"), Ok(3_153_600_000_000));
        for (text, part) in [
            ("0d", "longer than nothing"),
            ("10", "no unit"),
            ("-5s", "whole number"),
            ("9223372036854775808ms", "longer than any"),
            ("9999999999999999999d", "longer than any"),
        ] {
            let error = parse_ttl(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
