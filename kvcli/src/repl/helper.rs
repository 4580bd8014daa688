//! What happens while a line is typed: completion, hints, colours, and whether
//! Enter runs it.

use std::{borrow::Cow, cell::Cell};

use rustyline::{
    Context, Helper, Result,
    completion::{Completer, Pair},
    highlight::{CmdKind, Highlighter},
    hint::Hinter,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::runtime::Handle;

use super::{
    cursor::{Cursor, LONGEST, Slot, first_words, locate},
    link::Link,
    pieces::{Open, open},
    vocabulary::Vocabulary,
};
use crate::{
    output::paint::{Kind, Paint},
    text::{quote, show},
};

pub(super) struct Assistant {
    pub(super) vocabulary: Vocabulary,
    link: Link,
    runtime: Handle,
    paint: Paint,
    /// What was open when Enter was last pressed.
    pub(super) open: Cell<Option<Open>>,
}

impl Assistant {
    pub(super) fn new(link: Link, runtime: Handle, paint: Paint) -> Self {
        Self {
            vocabulary: Vocabulary::new(),
            link,
            runtime,
            paint,
            open: Cell::new(None),
        }
    }

    fn candidates(&self, cursor: &Cursor<'_>) -> Vec<Pair> {
        let typed = &cursor.word;
        let words = |words: Vec<&str>| {
            let fitting = words
                .into_iter()
                .filter(|w| w.as_bytes().starts_with(typed));
            fitting.map(word).collect()
        };
        match &cursor.slot {
            Slot::Command { in_block } => words(first_words(&self.vocabulary, *in_block)),
            Slot::Topic => words(first_words(&self.vocabulary, false)),
            Slot::Argument { entry, .. } if typed.starts_with(b"-") => {
                words(entry.options.iter().map(|o| o.long.as_str()).collect())
            }
            Slot::Argument { entry, at } => {
                let argument = entry
                    .arguments
                    .get(*at)
                    .or_else(|| entry.arguments.last().filter(|argument| argument.repeated));
                match argument.map(|argument| argument.name.as_str()) {
                    Some("KEY" | "PREFIX") => self.keys(typed),
                    _ => Vec::new(),
                }
            }
            Slot::Value { entry, option } => match entry.option(option) {
                Some(option) if !option.values.is_empty() => {
                    words(option.values.iter().map(String::as_str).collect())
                }
                Some(option) if matches!(option.value.as_deref(), Some("KEY" | "PREFIX")) => {
                    self.keys(typed)
                }
                _ => Vec::new(),
            },
            Slot::Tested => self.keys(typed),
            Slot::Nothing => Vec::new(),
        }
    }

    fn keys(&self, typed: &[u8]) -> Vec<Pair> {
        let keys = self.runtime.block_on(self.link.keys(typed));
        let pair = |key: Vec<u8>| Pair {
            display: show(&key),
            replacement: field(&key),
        };
        keys.into_iter().map(pair).collect()
    }

    fn hint_at(&self, text: &str) -> Option<String> {
        let cursor = locate(&self.vocabulary, text)?;
        let blank = text.ends_with([' ', '\t']) && cursor.word.is_empty();
        let hint = match cursor.slot {
            Slot::Argument { entry, at } if blank || !cursor.word.is_empty() => {
                // The word at the cursor is the argument that it fills.
                let fills = !cursor.word.is_empty() && !cursor.word.starts_with(b"-");
                let filled = entry.arguments.get(at).is_some_and(|arg| !arg.repeated);
                let skip = at + usize::from(fills && filled);
                let arguments = entry.arguments.iter().skip(skip);
                let mut parts: Vec<&str> = arguments.map(|arg| arg.shown.as_str()).collect();
                if cursor.word.is_empty() || fills {
                    parts.push("[OPTIONS]");
                }
                parts.join(" ")
            }
            Slot::Value { entry, option } if blank => {
                let option = entry.option(option)?;
                if option.values.is_empty() {
                    option.value.clone()?
                } else {
                    option.values.join("|")
                }
            }
            Slot::Tested if blank => "KEY (exists | value = X | version > N …)".to_owned(),
            Slot::Topic if blank => "[COMMAND]".to_owned(),
            _ => return None,
        };
        let gap = if blank { "" } else { " " };
        Some(format!("{gap}{hint}")).filter(|hint| !hint.trim().is_empty())
    }
}

fn word(word: &str) -> Pair {
    Pair {
        display: word.to_owned(),
        replacement: word.to_owned(),
    }
}

/// A key as a field of a line.
fn field(key: &[u8]) -> String {
    let shown = show(key);
    let plain = shown.as_bytes() == key
        && !key.is_empty()
        && !key.starts_with(b"-")
        && !key.starts_with(b"'")
        && !key.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    if plain { shown } else { quote(key) }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let Some(cursor) = locate(&self.vocabulary, &line[..pos]) else {
            return Ok((pos, Vec::new()));
        };
        Ok((cursor.start, self.candidates(&cursor)))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if pos < line.len() || line.len() > LONGEST {
            return None;
        }
        self.hint_at(line)
    }
}

impl Highlighter for Assistant {
    /// The first word of a line is painted by whether it is a command.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.paint.0 || line.len() > LONGEST {
            return Cow::Borrowed(line);
        }
        let rest = line.trim_start_matches([' ', '\t']);
        let indent = &line[..line.len() - rest.len()];
        let end = rest.find([' ', '\t', '\n']).unwrap_or(rest.len());
        let (first, after) = rest.split_at(end);
        let known = first_words(&self.vocabulary, false);
        let kind = if rest.starts_with('#') {
            Kind::Faint
        } else if known.contains(&first) || matches!(first, "exit" | "\\q" | "\\?") {
            Kind::Heading
        } else if end < rest.len() || !known.iter().any(|word| word.starts_with(first)) {
            Kind::Wrong
        } else {
            return Cow::Borrowed(line);
        };
        let first = self.paint.text(kind, first);
        Cow::Owned(format!("{indent}{first}{after}"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.paint.text(Kind::Faint, hint))
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        // Only the first word changes its colour.
        self.paint.0 && line.len() <= 64
    }
}

impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let open = open(ctx.input());
        self.open.set(open);
        Ok(match open {
            Some(_) => ValidationResult::Incomplete,
            None => ValidationResult::Valid(None),
        })
    }
}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_completed_to_what_reads_back() {
        let table: [(&[u8], &str); 7] = [
            (b"a/b", "a/b"),
            (b"it's", "it's"),
            (b"a b", "\"a b\""),
            (b"'a", "\"'a\""),
            (b"-a", "\"-a\""),
            (b"\xff", "\"\\xff\""),
            ("naïve".as_bytes(), "naïve"),
        ];
        for (key, wanted) in table {
            assert_eq!(field(key), wanted);
            let fields = crate::script::parse::fields(wanted.as_bytes()).expect("a field");
            assert_eq!(fields[0].bytes, key);
        }
    }
}
