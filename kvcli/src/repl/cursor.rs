//! Where the cursor stands: in which word of which command.

use super::{
    pieces::{is_in_transaction, pieces},
    vocabulary::{BLOCK_WORDS, Entry, OWN_WORDS, Vocabulary},
};
use crate::script::parse::{SyntaxError, fields};

/// Longer texts are neither completed nor hinted at: that would slow typing down.
pub(super) const LONGEST: usize = 4_096;

/// What may stand at the cursor.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// A command; `in_block` inside a transaction.
    Command {
        in_block: bool,
    },
    /// The topic of `help`.
    Topic,
    /// Something without a name; the rest are those after it.
    Argument {
        entry: &'a Entry,
        at: usize,
    },
    /// A value of an option.
    Value {
        entry: &'a Entry,
        option: &'a str,
    },
    /// A key behind `if`.
    Tested,
    Nothing,
}

/// The cursor in its line.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) slot: Slot<'a>,
    /// Where the word at the cursor begins in the text.
    pub(super) start: usize,
    /// What the word says so far.
    pub(super) word: Vec<u8>,
}

/// Finds the cursor, which stands at the end of `text`.
pub(super) fn locate<'a>(vocabulary: &'a Vocabulary, text: &str) -> Option<Cursor<'a>> {
    if text.len() > LONGEST {
        return None;
    }
    let pieces = pieces(text);
    let line = pieces.last()?.text;
    if line.starts_with('#') {
        return None;
    }
    let (mut words, start, word) = split(line)?;
    let in_block = is_in_transaction(&pieces[..pieces.len() - 1]);
    // What is repeated is a line of its own.
    if !in_block && words.first().is_some_and(|word| word == "\\watch") && words.len() > 1 {
        words.drain(..2);
    }
    let slot = slot(vocabulary, &words, in_block);
    Some(Cursor {
        slot,
        start: text.len() - line.len() + start,
        word,
    })
}

/// The words before the one at the end, where that begins and what it says.
fn split(line: &str) -> Option<(Vec<String>, usize, Vec<u8>)> {
    let bytes = line.as_bytes();
    let (start, word) = match fields(bytes) {
        Ok(fields) => match fields.last() {
            Some(last) if !line.ends_with([' ', '\t']) => (last.column - 1, last.bytes.clone()),
            _ => (line.len(), Vec::new()),
        },
        Err(SyntaxError::Unclosed { column }) => {
            // As if it were closed here.
            let quote = *bytes.get(column - 1)?;
            let mut closed = bytes[column - 1..].to_vec();
            closed.push(quote);
            let word = fields(&closed).ok()?.pop()?;
            (column - 1, word.bytes)
        }
        Err(_) => return None,
    };
    let before = fields(&bytes[..start]).ok()?;
    let words = before
        .into_iter()
        .map(|field| String::from_utf8_lossy(&field.bytes).into_owned())
        .collect();
    Some((words, start, word))
}

fn slot<'a>(vocabulary: &'a Vocabulary, words: &[String], in_block: bool) -> Slot<'a> {
    let Some((first, rest)) = words.split_first() else {
        return Slot::Command { in_block };
    };
    if !in_block && first == "help" {
        return if rest.is_empty() {
            Slot::Topic
        } else {
            Slot::Nothing
        };
    }
    if in_block && first == "if" {
        return if rest.is_empty() {
            Slot::Tested
        } else {
            Slot::Nothing
        };
    }
    let Some(entry) = vocabulary.get(first) else {
        return Slot::Nothing;
    };
    let mut at = 0;
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match entry.option(word) {
            Some(option) if option.value.is_some() => {
                if rest.next().is_none() {
                    return Slot::Value {
                        entry,
                        option: &option.long,
                    };
                }
            }
            Some(_) => {}
            None if entry.arguments.get(at).is_some_and(|arg| arg.repeated) => {}
            None => at += 1,
        }
    }
    Slot::Argument { entry, at }
}

/// Words that can begin a line.
pub(super) fn first_words(vocabulary: &Vocabulary, in_block: bool) -> Vec<&str> {
    let own = if in_block { BLOCK_WORDS } else { OWN_WORDS };
    let commands = vocabulary.all().map(|entry| entry.name.as_str());
    let commands = commands.filter(|name| !in_block || *name != "watch");
    commands.chain(own.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> (String, usize, String) {
        let vocabulary = Vocabulary::new();
        let cursor = locate(&vocabulary, text).expect("a cursor");
        let slot = match cursor.slot {
            Slot::Command { in_block } => format!("command {in_block}"),
            Slot::Topic => "topic".to_owned(),
            Slot::Argument { entry, at } => format!("{} {at}", entry.name),
            Slot::Value { option, .. } => option.to_owned(),
            Slot::Tested => "tested".to_owned(),
            Slot::Nothing => "nothing".to_owned(),
        };
        let word = String::from_utf8_lossy(&cursor.word).into_owned();
        (slot, cursor.start, word)
    }

    #[test]
    fn the_cursor_knows_its_word() {
        let table = [
            ("", "command false", 0, ""),
            ("ge", "command false", 0, "ge"),
            ("get ", "get 0", 4, ""),
            ("get a", "get 0", 4, "a"),
            ("get 'a b", "get 0", 4, "a b"),
            ("get \"a\\x20", "get 0", 4, "a "),
            ("set a ", "set 1", 6, ""),
            ("set --ttl ", "--ttl", 10, ""),
            ("set --ttl 5s a", "set 0", 13, "a"),
            ("set a --prev", "set 1", 6, "--prev"),
            ("mget a b ", "mget 0", 9, ""),
            ("rm --prefix p", "--prefix", 12, "p"),
            ("help s", "topic", 5, "s"),
            ("\\watch 2 get k", "get 0", 13, "k"),
            ("\\watch 2 g", "command false", 9, "g"),
            ("frob x", "nothing", 5, "x"),
            ("txn\nif a", "tested", 7, "a"),
            ("txn\nth", "command true", 4, "th"),
            ("txn\nthen\nget a", "get 0", 13, "a"),
            ("txn\nthen\nend\nth", "command false", 13, "th"),
            ("get a\nget b", "get 0", 10, "b"),
        ];
        for (text, slot, start, word) in table {
            assert_eq!(
                at(text),
                (slot.to_owned(), start, word.to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_place_for_help_gets_none() {
        let vocabulary = Vocabulary::new();
        for text in ["# get ", "get \"\\q", "get 'a'b"] {
            assert!(locate(&vocabulary, text).is_none(), "{text:?}");
        }
        assert!(locate(&vocabulary, &"x".repeat(LONGEST + 1)).is_none());
    }
}
