//! `kvd dump DIR`.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kvcore::{DumpOptions, Dumped, KeyRange, OpCode, Revision};
use serde_json::{Map, Value, json};

use crate::args::{DumpArgs, DumpForm};
use crate::exit::{Exit, Failure};

/// Bytes of a value that a line for people shows.
const SHOWN: usize = 64;

pub(super) fn run(args: &DumpArgs) -> Result<ExitCode, Failure> {
    let options = DumpOptions {
        revisions: (Revision(args.from_revision), Revision(args.to_revision)),
        keys: range(args),
        snapshot: args.snapshot,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut closed = false;
    let mut each = |change: &Dumped<'_>| {
        let line = match args.output {
            DumpForm::Text => text(change),
            DumpForm::Jsonl => object(change).to_string(),
        };
        let written = writeln!(out, "{line}");
        closed |= written.is_err();
        written
    };
    let done = kvcore::dump(&args.dir, &options, &mut each);
    let flushed = out.flush();
    // Whoever closed standard output does not want the rest.
    if closed || flushed.is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    let summary = done.map_err(super::not_readable)?;
    let mut err = io::stderr().lock();
    let mut note = |line: &str| drop(writeln!(err, "kvd: {line}"));
    note(&format!(
        "{} records of the snapshot, {} changes of the log",
        summary.records, summary.changes
    ));
    if let Some(tail) = summary.tail {
        note(&format!("the log ends there: {tail}"));
    }
    let Some(damage) = summary.damage else {
        return Ok(ExitCode::SUCCESS);
    };
    note(&format!(
        "{damage}; the rest of that file is not shown. All damage is listed by: kvd check {}",
        args.dir.display()
    ));
    Ok(Exit::Damaged.into())
}

fn range(args: &DumpArgs) -> KeyRange {
    match (&args.key, &args.prefix) {
        (Some(key), _) => KeyRange::key(key.as_bytes()),
        (None, Some(prefix)) => KeyRange::prefix(prefix.as_bytes()),
        (None, None) => KeyRange::all(),
    }
}

/// What happened to the key.
fn verb(change: &Dumped<'_>) -> &'static str {
    match change.op.code {
        OpCode::Set => "SET",
        OpCode::Delete => "DELETE",
        OpCode::Metadata => "METADATA",
    }
}

fn text(change: &Dumped<'_>) -> String {
    let mut line = format!("{:>8}  ", change.revision.to_string());
    if change.written_at_ms > 0 {
        let _ = write!(line, "{}  ", moment(change.written_at_ms));
    }
    let _ = write!(line, "{:<8}  {}", verb(change), quoted(change.op.key));
    if let Some(value) = change.op.value {
        let shown = &value[..value.len().min(SHOWN)];
        let _ = write!(line, " = {}", quoted(shown));
        if shown.len() < value.len() {
            let _ = write!(line, "… ({} bytes)", value.len());
        }
    }
    let _ = write!(line, "  {}", cause(change));
    if change.op.version > 0 {
        let _ = write!(line, " version={}", change.op.version);
    }
    if change.expires_at_ms > 0 {
        let _ = write!(line, " expires={}", moment(change.expires_at_ms));
    }
    if change.transaction {
        line.push_str(" transaction");
    }
    if let Some(id) = change.request_id {
        let _ = write!(line, " request={}", quoted(id));
    }
    line
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn moment(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    // 9999 is the last year that can be written so.
    time.filter(|_| ms < 253_402_300_800_000).map_or_else(
        || format!("{ms}ms"),
        |time| humantime::format_rfc3339_millis(time).to_string(),
    )
}

fn cause(change: &Dumped<'_>) -> String {
    let name = format!("{:?}", change.op.cause);
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            words.push('_');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

fn object(change: &Dumped<'_>) -> Value {
    let op = &change.op;
    let mut object = Map::new();
    object.insert("revision".to_owned(), json!(change.revision.0));
    object.insert("type".to_owned(), json!(verb(change)));
    object.insert("cause".to_owned(), json!(cause(change)));
    bytes(&mut object, "key", op.key);
    if let Some(value) = op.value {
        bytes(&mut object, "value", value);
    }
    if let Some(last) = op.last_record {
        bytes(&mut object, "last_value", last.value);
    }
    let created = match op.create_revision {
        0 if op.code != OpCode::Delete => change.revision.0,
        revision => revision,
    };
    let numbers = [
        ("create_revision", created),
        ("version", op.version),
        ("previous_mod_revision", op.previous_mod_revision),
        ("expires_at_ms", change.expires_at_ms),
        ("written_at_ms", change.written_at_ms),
        ("lease_id", op.lease_id),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        object.insert(name.to_owned(), json!(number));
    }
    if change.transaction {
        object.insert("transaction".to_owned(), json!(true));
    }
    if let Some(id) = change.request_id {
        bytes(&mut object, "request_id", id);
    }
    object.insert("file".to_owned(), json!(change.file));
    object.insert("offset".to_owned(), json!(change.offset));
    Value::Object(object)
}

/// `name` for text, `name_base64` for the rest.
fn bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}
