//! Log lines for systemd's journal, by its native protocol: fields stay fields, so that
//! `journalctl PRIORITY=3` or `journalctl KVD_ERROR=...` finds them.
//!
//! ```text
//! datagram = field*
//! field    = NAME "=" value "\n"                          a value without line breaks
//!          | NAME "\n" length: u64 little endian value "\n"   any value
//! ```
//! Whoever logs must not wait for the journal: a line that it does not take at once is
//! lost, and counted.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::Line;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Lines that were lost since the start.
static LOST: AtomicU64 = AtomicU64::new(0);

pub(super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Whether stderr, with this device and inode, is the stream to the journal that the
/// service manager names in `JOURNAL_STREAM`.
pub(super) fn is_stream(variable: Option<&str>, device: u64, inode: u64) -> bool {
    let named = variable.and_then(|text| {
        let (device, inode) = text.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    named == Some((device, inode))
}

/// A connection to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if self.socket.send(&datagram(&Line::of(event))).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn datagram(line: &Line) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put(&mut bytes, "PRIORITY", priority(line.level));
    put(&mut bytes, "SYSLOG_IDENTIFIER", "kvd");
    put(&mut bytes, "MESSAGE", &message(line));
    put(&mut bytes, "KVD_TARGET", line.target);
    if let Some(file) = line.file {
        put(&mut bytes, "CODE_FILE", file);
    }
    if let Some(number) = line.number {
        put(&mut bytes, "CODE_LINE", &number.to_string());
    }
    for (name, value) in &line.fields {
        put(&mut bytes, &field_name(name), &value.to_string());
    }
    bytes
}

/// What journalctl shows: the fields as well, as they stand in the text form.
fn message(line: &Line) -> String {
    let mut text = line.message.clone();
    for (name, value) in &line.fields {
        if !text.is_empty() {
            text.push(' ');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{name}={value}");
    }
    text
}

/// As syslog counts.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// A name of a field may have capital letters, digits and underscores.
fn field_name(name: &str) -> String {
    let letters = name.chars().map(|c| match c {
        'a'..='z' => c.to_ascii_uppercase(),
        'A'..='Z' | '0'..='9' => c,
        _ => '_',
    });
    "KVD_".chars().chain(letters).take(64).collect()
}

fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tempfile::TempDir;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// As the journal reads it.
    fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes
                .iter()
                .position(|b| matches!(b, b'\n' | b'='))
                .unwrap();
            let name = text(&bytes[..end]);
            let rest = &bytes[end + 1..];
            let (value, after) = if bytes[end] == b'=' {
                let end = rest.iter().position(|b| *b == b'\n').unwrap();
                rest.split_at(end)
            } else {
                let (length, rest) = rest.split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap());
                rest.split_at(usize::try_from(length).unwrap())
            };
            fields.insert(name, text(value));
            assert_eq!(after[0], b'\n');
            bytes = &after[1..];
        }
        fields
    }

    #[test]
    fn fields_reach_the_journal_as_fields() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::connect(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let error = "two\nlines=MESSAGE=forged\nPRIORITY=0";
            tracing::error!(%error, bytes = 7_u64, "cannot write");
            tracing::debug!("small");
        });
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        let fields = parse(&buffer[..length]);
        let is = |name: &str, value: &str| assert_eq!(fields[name], value, "{fields:?}");
        is("PRIORITY", "3");
        is("SYSLOG_IDENTIFIER", "kvd");
        is("KVD_ERROR", "two\nlines=MESSAGE=forged\nPRIORITY=0");
        is("KVD_BYTES", "7");
        is("KVD_TARGET", module_path!());
        assert!(fields["MESSAGE"].starts_with("cannot write error=two\nlines"));
        assert!(fields["CODE_FILE"].ends_with("journal.rs"));
        let length = journal.recv(&mut buffer).unwrap();
        assert_eq!(parse(&buffer[..length])["PRIORITY"], "7");
    }

    #[test]
    fn a_journal_that_does_not_read_holds_up_nobody() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::connect(&path).unwrap());
        let before = lost();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..2000 {
                tracing::info!("nobody reads this");
            }
            drop(journal);
            tracing::info!("nor this");
        });
        assert!(lost() > before);
    }

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        for (variable, is) in [
            (Some("8:31"), true),
            (Some("8:32"), false),
            (Some("9:31"), false),
            (Some("31"), false),
            (Some("8:31:1"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_stream(variable, 8, 31), is, "{variable:?}");
        }
    }
}
