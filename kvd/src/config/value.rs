//! The kinds of value a setting can have: how each is read from text and shown
//! again. Every source (flag, environment, file) hands over text, so there is one
//! parser per kind and one wording of its error.

use std::path::PathBuf;
use std::time::Duration;

/// One kind of value. `parse(show(v)) == v`.
pub trait Value: Sized + PartialOrd {
    /// What the kind is called in documentation and errors.
    const KIND: &'static str;
    /// How it is written: the unit, or the words there are.
    const UNIT: &'static str = Self::KIND;

    /// Reads the text; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that means this value.
    fn show(&self) -> String;
}

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// For use as a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

impl Value for Size {
    const KIND: &'static str = "size";
    const UNIT: &'static str = "a whole number with B, KiB, MiB, GiB or TiB";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = SIZE_UNITS
            .iter()
            .chain(&[("B", 1)])
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor);
        match (number.parse::<u64>(), factor) {
            (Ok(_), None) if unit.is_empty() => Err(format!(
                "a size needs its unit: write {text}B, {text}KiB or {text}MiB"
            )),
            (Ok(number), Some(factor)) => number
                .checked_mul(factor)
                .map(Self)
                .ok_or_else(|| format!("{text} is more than 2^64 bytes")),
            _ => Err(format!(
                "{text:?} is not a size: expected a whole number and a unit, such as 64MiB"
            )),
        }
    }

    fn show(&self) -> String {
        // Binary units only: they are listed first and from the largest.
        let unit = SIZE_UNITS[..4]
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        unit.map_or_else(
            || format!("{}B", self.0),
            |(name, factor)| format!("{}{name}", self.0 / factor),
        )
    }
}

const DURATION_UNITS: [(&str, u64); 5] = [
    ("h", 3_600_000),
    ("min", 60_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Value for Duration {
    const KIND: &'static str = "duration";
    const UNIT: &'static str = "a whole number with ms, s, min or h";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        match (number.parse::<u64>(), factor) {
            (Ok(_), None) if unit.is_empty() => Err(format!(
                "a duration needs its unit: write {text}ms, {text}s or {text}min"
            )),
            (Ok(number), Some(factor)) => number
                .checked_mul(factor)
                .map(Self::from_millis)
                .ok_or_else(|| format!("{text} is too long")),
            _ => Err(format!(
                "{text:?} is not a duration: expected a whole number and a unit, such as 250ms"
            )),
        }
    }

    fn show(&self) -> String {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let unit = DURATION_UNITS
            .iter()
            .find(|(name, factor)| *name != "m" && ms != 0 && ms.is_multiple_of(*factor));
        unit.map_or_else(
            || format!("{ms}ms"),
            |(name, factor)| format!("{}{name}", ms / factor),
        )
    }
}

/// Digits first, then the unit, with blanks allowed between.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

impl Value for usize {
    const KIND: &'static str = "number";
    const UNIT: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_| format!("{text:?} is not a whole number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";
    const UNIT: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the path is empty".to_owned());
        }
        Ok(Self::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// A number that kvd picks itself unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Auto(pub Option<usize>);

impl Auto {
    /// The number, or one per core that this process may use.
    pub fn or_cores(self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.0.unwrap_or_else(cores)
    }
}

impl Value for Auto {
    const KIND: &'static str = "number or auto";
    const UNIT: &'static str = "a whole number, or auto";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "auto" {
            return Ok(Self(None));
        }
        match usize::parse(text)? {
            0 => Err("0 is too few: write 1 or more, or auto".to_owned()),
            number => Ok(Self(Some(number))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), |n| n.to_string())
    }
}

/// A size that may be absent: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeLimit(pub Option<u64>);

impl Value for SizeLimit {
    const KIND: &'static str = "size or none";
    const UNIT: &'static str = "a whole number with B, KiB, MiB, GiB or TiB, or none";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" | "0" => Ok(Self(None)),
            text => Size::parse(text).map(|size| Self((size.0 != 0).then_some(size.0))),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "none".to_owned(), |n| Size(n).show())
    }
}

/// A share, written as a decimal fraction.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

impl Value for Ratio {
    const KIND: &'static str = "ratio";
    const UNIT: &'static str = "a decimal fraction";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().parse::<f64>() {
            Ok(ratio) if ratio.is_finite() => Ok(Self(ratio)),
            _ => Err(format!(
                "{text:?} is not a ratio: expected a decimal fraction, such as 0.01"
            )),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// When the log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    Always,
    Interval(Duration),
    Never,
}

impl Value for Sync {
    const KIND: &'static str = "sync policy";
    const UNIT: &'static str = "always, interval: with a duration, or never";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            other => match other.strip_prefix("interval:") {
                Some(every) => match Duration::parse(every)? {
                    Duration::ZERO => Err("an interval of 0ms is `always`: write that".to_owned()),
                    every => Ok(Self::Interval(every)),
                },
                None => Err(format!(
                    "{text:?} is not a sync policy: expected always, interval:<duration> \
                     (such as interval:250ms) or never"
                )),
            },
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Always => "always".to_owned(),
            Self::Interval(every) => format!("interval:{}", every.show()),
            Self::Never => "never".to_owned(),
        }
    }
}

/// A value that is one word of a fixed list.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $kind:literal { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($variant),* }

        impl Value for $name {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("{text:?} is not known here: expected {}", $kind)),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $word),* }.to_owned()
            }
        }
    };
}

words! {
    /// How bytes get into a log segment.
    Io: "mmap or pwrite" { Mmap = "mmap", Pwrite = "pwrite" }
}

words! {
    /// What to do with a log end that cannot be told from damage.
    SuspectTail: "auto, refuse or cut" { Auto = "auto", Refuse = "refuse", Cut = "cut" }
}

words! {
    /// What a start does about a damaged snapshot.
    Damaged: "refuse or use-older" { Refuse = "refuse", UseOlder = "use-older" }
}

words! {
    /// How log lines are written.
    LogFormat: "auto, text, json or journald" {
        Auto = "auto", Text = "text", Json = "json", Journald = "journald",
    }
}

words! {
    /// How much is logged to stderr.
    Level: "error, warn, info, debug or trace" {
        Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace",
    }
}
