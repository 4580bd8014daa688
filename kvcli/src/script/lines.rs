//! The lines of a script, numbered from 1, read without waiting for more than is
//! there.
//!
//! [`Lines::fill`] may be dropped while it waits and loses nothing, so that a
//! script can wait for lines and answers at the same time.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest line: every byte of the largest key and value written as `\xNN`.
const MAX_LINE: usize = 80 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to here no line end was found.
    searched: usize,
    number: u64,
    ended: bool,
    /// Bytes that have come so far.
    pub(super) read: u64,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            number: 0,
            ended: false,
            read: 0,
            longest: MAX_LINE,
        }
    }

    /// The next line without its end, if all of it is here. One carriage return
    /// before the line feed belongs to the end.
    pub(super) fn next(&mut self) -> Option<(u64, &[u8])> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|b| *b == b'\n');
        let (end, next) = match found {
            Some(offset) => (self.searched + offset, self.searched + offset + 1),
            None if self.ended && self.start < self.buffer.len() => {
                (self.buffer.len(), self.buffer.len())
            }
            None => {
                self.searched = self.buffer.len();
                return None;
            }
        };
        let line = self.start..end;
        self.start = next;
        self.searched = next;
        self.number += 1;
        let line = &self.buffer[line];
        Some((self.number, line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// True if nothing comes after the lines that are here.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Waits for more. Call it only when [`Lines::next`] has nothing.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.len() > self.longest {
            let number = self.number + 1;
            let text = format!("line {number} is longer than {} bytes", self.longest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.buffer.reserve(CHUNK);
        let read = self.source.read_buf(&mut self.buffer).await?;
        self.read += read as u64;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(source: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::new(source);
        let mut found = Vec::new();
        loop {
            while let Some((number, line)) = lines.next() {
                found.push((number, line.to_vec()));
            }
            if lines.is_ended() {
                return found;
            }
            lines.fill().await.expect("a slice can be read");
        }
    }

    #[tokio::test]
    async fn line_ends_are_taken_off() {
        let table: [(&[u8], &[&[u8]]); 8] = [
            (b"", &[]),
            (b"a", &[b"a"]),
            (b"a\n", &[b"a"]),
            (b"a\n\nb", &[b"a", b"", b"b"]),
            (b"\n", &[b""]),
            (b"a\r\nb\r", &[b"a", b"b"]),
            (b"a\r\r\n", &[b"a\r"]),
            (b"a\0\xff\nb\rc\n", &[b"a\0\xff", b"b\rc"]),
        ];
        for (source, expected) in table {
            let found = all(source).await;
            let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, (1..=expected.len() as u64).collect::<Vec<_>>());
            let lines: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
            assert_eq!(lines, expected, "{}", source.escape_ascii());
        }
    }

    #[tokio::test]
    async fn long_input_comes_whole() {
        let line = |i: usize| format!("set {i} {}", "x".repeat(i * 37 % 5_000));
        let text: String = (0..2_000).map(|i| line(i) + "\n").collect();
        let found = all(text.as_bytes()).await;
        assert_eq!(found.len(), 2_000);
        for (i, (number, text)) in found.into_iter().enumerate() {
            assert_eq!((number, text), (i as u64 + 1, line(i).into_bytes()));
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'));
        lines.longest = 1 << 20;
        let error = loop {
            assert!(lines.next().is_none());
            if let Err(error) = lines.fill().await {
                break error;
            }
        };
        assert!(error.to_string().contains("line 1 is longer"), "{error}");
    }
}
