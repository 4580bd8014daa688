//! Colours by the type of what is shown, or none at all.
//!
//! Only table, json and jsonl are painted: raw and csv are for programs. Whether
//! anything is painted is decided once, see [`Colour::wanted`].

use std::{env, ffi::OsStr};

use clap::ValueEnum;
use unicode_width::UnicodeWidthStr as _;

/// When to paint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Whatever is at the other end
    Always,
    /// Never
    Never,
}

impl Colour {
    /// What a person says with a flag counts more than the environment.
    pub(crate) fn wanted(self, on_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = env::var_os("TERM").as_deref() == Some(OsStr::new("dumb"));
                on_terminal && !no_color && !dumb
            }
        }
    }
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key, or the name of a field.
    Name,
    Text,
    Number,
    /// true, false, null, and states.
    Word,
    /// What is there to be looked over.
    Faint,
    Heading,
    Wrong,
}

impl Kind {
    /// Of a cell that stands under a heading.
    pub(super) fn of(heading: &str, cell: &str) -> Self {
        match heading {
            "key" | "name" => Self::Name,
            "value" | "previous" => Self::Text,
            _ if cell.parse::<f64>().is_ok() => Self::Number,
            _ => Self::Word,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Name => "36",
            Self::Text => "32",
            Self::Number => "33",
            Self::Word => "35",
            Self::Faint => "2",
            Self::Heading => "1",
            Self::Wrong => "31",
        }
    }
}

/// Paints, or leaves everything as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn put(self, out: &mut String, kind: Kind, text: &str) {
        if self.0 && !text.is_empty() {
            out.extend(["\x1b[", kind.code(), "m", text, "\x1b[0m"]);
        } else {
            out.push_str(text);
        }
    }

    pub(crate) fn text(self, kind: Kind, text: &str) -> String {
        let mut out = String::new();
        self.put(&mut out, kind, text);
        out
    }

    /// Paints JSON: a string that a colon follows is a name.
    pub(super) fn json(self, json: Vec<u8>) -> Vec<u8> {
        if !self.0 {
            return json;
        }
        let Ok(json) = String::from_utf8(json) else {
            return Vec::new(); // What serde_json writes is text.
        };
        let mut out = String::with_capacity(json.len() * 2);
        let mut rest = json.as_str();
        while let Some(first) = rest.chars().next() {
            let len = match first {
                '"' => string_len(rest),
                '{' | '}' | '[' | ']' | ',' | ':' => 1,
                c if c.is_whitespace() => c.len_utf8(),
                _ => rest.find([',', '}', ']', '\n']).unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(len);
            let kind = match first {
                '"' if after.starts_with(':') => Some(Kind::Name),
                '"' => Some(Kind::Text),
                '-' | '0'..='9' => Some(Kind::Number),
                't' | 'f' | 'n' => Some(Kind::Word),
                _ => None,
            };
            match kind {
                Some(kind) => self.put(&mut out, kind, token),
                None => out.push_str(token),
            }
            rest = after;
        }
        out.into_bytes()
    }
}

/// The length of the JSON string that a text begins with.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text without its colours.
    fn bare(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            text + part.split_once('m').map_or("", |(_, rest)| rest)
        })
    }

    #[test]
    fn painted_json_is_the_same_json() {
        let json = serde_json::json!({
            "key": "a\"b\\", "n": -12.5, "list": [1, true, null, "x:y"], "o": {}, "e": [],
        });
        for text in [
            json.to_string(),
            serde_json::to_string_pretty(&json).expect("json"),
        ] {
            let painted = Paint(true).json(text.clone().into_bytes());
            let painted = String::from_utf8(painted).expect("text");
            assert_eq!(bare(&painted), text);
            for part in [
                "\x1b[36m\"key\"\x1b[0m:",
                "\x1b[33m-12.5\x1b[0m",
                "\x1b[35mnull\x1b[0m",
                "\x1b[32m\"x:y\"\x1b[0m",
            ] {
                assert!(painted.contains(part), "no {part:?} in {painted:?}");
            }
            assert_eq!(
                Paint(false).json(text.clone().into_bytes()),
                text.into_bytes()
            );
        }
    }
}
