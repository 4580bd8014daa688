//! The text of a prompt, which may have several lines, cut into lines of a script.
//!
//! A line feed ends a line unless it stands in an open quote, where it is part of
//! the field. Whether anything is still open decides if Enter runs the text.

use crate::{
    block::{Collector, first_word},
    script::parse::{SyntaxError, fields},
};

/// One line of a script, and the number of the line it begins in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) number: u64,
    pub(super) text: &'a str,
}

/// Cuts a text into pieces.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut first = 1;
    let ends = text.match_indices('\n').map(|(at, _)| at);
    for (number, end) in (1..).zip(ends.chain([text.len()])) {
        let line = &text[start..end];
        if end == text.len() || !is_unclosed(line) {
            pieces.push(Piece {
                number: first,
                text: line.strip_suffix('\r').unwrap_or(line),
            });
            start = end + 1;
            first = number + 1;
        }
    }
    pieces
}

fn is_unclosed(line: &str) -> bool {
    !line.starts_with('#') && matches!(fields(line.as_bytes()), Err(SyntaxError::Unclosed { .. }))
}

/// Why a text cannot be run yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Quote,
    Transaction,
}

/// What is open at the end of a text.
pub(super) fn open(text: &str) -> Option<Open> {
    let pieces = pieces(text);
    if pieces.last().is_some_and(|piece| is_unclosed(piece.text)) {
        return Some(Open::Quote);
    }
    is_in_transaction(&pieces).then_some(Open::Transaction)
}

/// Whether the lines so far have opened a transaction and not closed it.
pub(super) fn is_in_transaction(pieces: &[Piece<'_>]) -> bool {
    let mut block: Option<Collector> = None;
    for piece in pieces {
        let line = piece.text.as_bytes();
        if let Some(lines) = &mut block {
            let ended = lines.push(piece.number, line);
            if ended {
                block = None;
            }
        } else if begins_block(piece.text) {
            block = Some(Collector::new(piece.number));
        }
    }
    block.is_some()
}

/// Whether a line opens a transaction whose lines follow.
fn begins_block(line: &str) -> bool {
    let of_file = |line: &str| {
        let fields = fields(line.as_bytes()).unwrap_or_default();
        fields
            .iter()
            .any(|field| field.bytes.starts_with(b"--file"))
    };
    first_word(line.as_bytes()).as_deref() == Some(b"txn") && !of_file(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(u64, &str)> {
        pieces(text)
            .into_iter()
            .map(|piece| (piece.number, piece.text))
            .collect()
    }

    #[test]
    fn line_feeds_end_lines_but_not_inside_quotes() {
        assert_eq!(texts("get a"), [(1, "get a")]);
        assert_eq!(texts("get a\r\nget b"), [(1, "get a"), (2, "get b")]);
        assert_eq!(
            texts("set k 'a\nb'\nget k"),
            [(1, "set k 'a\nb'"), (3, "get k")]
        );
        assert_eq!(texts("# it's\nget \"k"), [(1, "# it's"), (2, "get \"k")]);
        assert_eq!(texts("get \"\\q\nget b"), [(1, "get \"\\q"), (2, "get b")]);
        assert_eq!(texts(""), [(1, "")]);
    }

    #[test]
    fn what_is_open_waits_for_more() {
        let table = [
            ("get a", None),
            ("", None),
            ("set k 'a", Some(Open::Quote)),
            ("set k 'a\nb'", None),
            ("set k it's", None),
            ("# don't", None),
            ("txn", Some(Open::Transaction)),
            (
                "txn\nif a exists\nthen\ntxn\nthen\nend",
                Some(Open::Transaction),
            ),
            ("txn\nthen\nset k 'x", Some(Open::Quote)),
            ("txn\nthen\nget a\nend", None),
            ("txn --durability none\nthen", Some(Open::Transaction)),
            ("txn --file x", None),
            ("get a\ntxn\nthen\nend\ntxn", Some(Open::Transaction)),
        ];
        for (text, wanted) in table {
            assert_eq!(open(text), wanted, "{text:?}");
        }
    }
}
