//! `scan [PREFIX]`: the records of a range, page by page as they come.

use std::ffi::OsString;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use kvproto::v1;
use serde_json::{Map, Value};

use super::{
    Ask, Pending as AnyPending, Prepared, RangeArgs, range,
    record::{insert_header, insert_numbers},
};
use crate::{
    args::{CallFlags, parse_base64},
    call::{Caller, Pages},
    failure::{Exit, Failure},
    output::{self, Output, Rows},
    progress::Progress,
    text::{insert_bytes, show},
};

const HEADER: &[&str] = &[
    "key",
    "value",
    "mod_revision",
    "version",
    "create_revision",
    "expires_at_ms",
];
const HEADER_KEYS: &[&str] = &[
    "key",
    "mod_revision",
    "version",
    "create_revision",
    "expires_at_ms",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only keys that begin so
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    #[command(flatten)]
    range: RangeArgs,
    /// At most this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Keys without their values
    #[arg(long)]
    keys_only: bool,
    /// From the last key to the first
    #[arg(long)]
    reverse: bool,
    /// Records the server sends at a time [default: 1000, or 1 MiB]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_size: Option<i32>,
    /// Go on where a scan of the same range ended, by the token that json
    /// shows when --limit left records behind
    #[arg(long, value_name = "BASE64", value_parser = parse_base64)]
    token: Option<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    keys_only: bool,
}

impl Args {
    pub(super) fn prepare(self, flags: &CallFlags) -> Result<Prepared, Failure> {
        let range = self.range.into_range(self.prefix)?;
        let request = v1::ScanRequest {
            range: Some(range.unwrap_or_else(range::all)),
            limit: self.limit.unwrap_or_default(),
            reverse: self.reverse,
            keys_only: self.keys_only,
            page_size: self.page_size.unwrap_or_default(),
            token: self.token.unwrap_or_default(),
            options: flags.read_options(),
        };
        let pending = Pending {
            keys_only: self.keys_only,
        };
        Ok(Prepared::new(Ask::Scan(request), AnyPending::Scan(pending)))
    }
}

/// Runs a scan and prints each page as it comes.
pub(crate) async fn print(
    caller: &mut Caller,
    request: &v1::ScanRequest,
    output: &mut Output,
) -> Result<(), Failure> {
    let printed = print_pages(caller, request, output).await;
    if printed.is_err() {
        output.break_off();
    }
    printed
}

async fn print_pages(
    caller: &mut Caller,
    request: &v1::ScanRequest,
    output: &mut Output,
) -> Result<(), Failure> {
    let keys_only = request.keys_only;
    let mut pages = Pages::new(caller, request.clone());
    let mut last = Page {
        keys_only,
        ..Page::default()
    };
    let mut any = false;
    let mut progress = Progress::of_output();
    let mut printed = 0;
    while let Some(page) = pages.next().await? {
        any = true;
        last = Page {
            keys_only,
            records: page.records,
            ..Page::default()
        };
        output.part(&last)?;
        output.flush()?;
        printed += last.records.len();
        progress.count(&format!("{printed} records"));
        last.header = page.header;
        last.token = page.token;
    }
    if !any {
        output.part(&last)?;
    }
    output.end_parts(last.closing())
}

impl Pending {
    /// Reads the range of a transaction, which comes in one piece.
    pub(super) fn read(self, result: v1::RangeGetResult) -> Page {
        Page {
            keys_only: self.keys_only,
            records: result.records,
            more: Some(result.more),
            ..Page::default()
        }
    }
}

/// Some records in their order.
#[derive(Debug, Default)]
pub(super) struct Page {
    keys_only: bool,
    records: Vec<v1::Record>,
    header: Option<v1::ResponseHeader>,
    token: Bytes,
    more: Option<bool>,
}

impl Page {
    fn record(&self, record: &v1::Record) -> Map<String, Value> {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", &record.key);
        if !self.keys_only {
            insert_bytes(&mut object, "value", &record.value);
        }
        insert_numbers(&mut object, record);
        object
    }

    /// What is said once, after all records.
    fn closing(&self) -> Map<String, Value> {
        let mut object = Map::new();
        if !self.token.is_empty() {
            object.insert("token".into(), BASE64.encode(&self.token).into());
        }
        insert_header(&mut object, self.header.as_ref());
        object
    }
}

impl output::Report for Page {
    /// A line per record, a tab between key and value.
    fn raw(&self, out: &mut Vec<u8>) {
        for record in &self.records {
            out.extend_from_slice(&record.key);
            if !self.keys_only {
                out.push(b'\t');
                out.extend_from_slice(&record.value);
            }
            out.push(b'\n');
        }
    }

    fn object(&self) -> Map<String, Value> {
        let records: Vec<Value> = self.objects().into_iter().map(Value::from).collect();
        let mut object = Map::new();
        object.insert("records".into(), records.into());
        if let Some(more) = self.more {
            object.insert("more".into(), more.into());
        }
        object
    }

    fn objects(&self) -> Vec<Map<String, Value>> {
        self.records
            .iter()
            .map(|record| self.record(record))
            .collect()
    }

    fn rows(&self) -> Rows {
        let row = |record: &v1::Record| {
            let mut row = vec![show(&record.key)];
            if !self.keys_only {
                row.push(show(&record.value));
            }
            let numbers = [
                record.mod_revision,
                record.version,
                record.create_revision,
                record.expires_at_ms,
            ];
            row.extend(numbers.map(|number| number.to_string()));
            row
        };
        Rows {
            header: if self.keys_only { HEADER_KEYS } else { HEADER },
            rows: self.records.iter().map(row).collect(),
        }
    }

    /// A range without keys is a result.
    fn exit(&self) -> Exit {
        Exit::Success
    }
}
