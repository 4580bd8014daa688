//! Gathering the lines of a block from a script until it ends.

use crate::script::parse::{fields, is_idle};

/// The longest text of a block: a little more than the largest transaction has,
/// with every byte written as `\xNN`.
const MAX_BYTES: usize = 80 * 1024 * 1024;

/// The lines of a block so far.
#[derive(Debug)]
pub(crate) struct Collector {
    /// The line of its `txn`.
    pub(crate) opened: u64,
    /// None if they are only passed over.
    lines: Option<Vec<(u64, Vec<u8>)>>,
    bytes: usize,
    depth: usize,
}

impl Collector {
    pub(crate) fn new(opened: u64) -> Self {
        Self {
            opened,
            lines: Some(Vec::new()),
            bytes: 0,
            depth: 1,
        }
    }

    /// Of a block whose first line was wrong already: nothing in it is run.
    pub(crate) fn passing_over(opened: u64) -> Self {
        Self {
            lines: None,
            ..Self::new(opened)
        }
    }

    /// Takes a line. True if it was the last of the block.
    pub(crate) fn push(&mut self, number: u64, line: &[u8]) -> bool {
        match first_word(line).as_deref() {
            Some(b"txn") => self.depth += 1,
            Some(b"end") => self.depth -= 1,
            _ => {}
        }
        if let Some(lines) = &mut self.lines {
            self.bytes += line.len();
            if self.bytes <= MAX_BYTES {
                lines.push((number, line.to_vec()));
            } else {
                // Kept short, and counted to its end all the same.
                lines.clear();
            }
        }
        self.depth == 0
    }

    /// The lines after the first.
    pub(crate) fn finish(self) -> Collected {
        match self.lines {
            None => Collected::PassedOver,
            Some(_) if self.bytes > MAX_BYTES => Collected::TooLong,
            Some(lines) => Collected::Lines(lines),
        }
    }
}

/// What became of the lines of a block.
#[derive(Debug)]
pub(crate) enum Collected {
    Lines(Vec<(u64, Vec<u8>)>),
    TooLong,
    PassedOver,
}

/// The word a line begins with, as far as the line can be read.
pub(crate) fn first_word(line: &[u8]) -> Option<Vec<u8>> {
    if is_idle(line) {
        return None;
    }
    match fields(line) {
        Ok(fields) => fields.into_iter().next().map(|field| field.bytes),
        Err(_) => line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .find(|word| !word.is_empty())
            .map(<[u8]>::to_vec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_at(lines: &[&[u8]]) -> Option<usize> {
        let mut collector = Collector::new(1);
        lines.iter().position(|line| collector.push(2, line))
    }

    #[test]
    fn blocks_inside_blocks_are_counted() {
        assert_eq!(ends_at(&[b"then", b"end"]), Some(1));
        assert_eq!(
            ends_at(&[b"then", b" txn ", b"then", b"end", b"end"]),
            Some(4)
        );
        assert_eq!(
            ends_at(&[b"then", b"set end txn", b"# end", b"end"]),
            Some(3)
        );
        assert_eq!(ends_at(&[b"end 'open", b"then"]), Some(0));
        assert_eq!(ends_at(&[b"txn 'open", b"end", b"'end'"]), Some(2));
        assert_eq!(ends_at(&[b"then"]), None);
    }
}
