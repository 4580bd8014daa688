//! Writing reports to standard output, one printer per format.
//!
//! A report knows its content as raw bytes, as JSON objects and as tables; a
//! printer decides which of these it writes and how. A result that comes in
//! parts, such as a scan, is printed part by part.

mod csv;
mod json;
mod jsonl;
pub(crate) mod pager;
pub(crate) mod paint;
mod raw;
mod table;

use std::{
    fmt,
    io::{self, Write},
};

use clap::ValueEnum;
use serde_json::{Map, Value};

use self::{pager::Pager, paint::Paint};
use crate::failure::{Exit, Failure};

/// What the data looks like on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Rows under headings, for people
    Table,
    /// One indented object per command
    Json,
    /// One object per command or scanned record, each on a line of its own
    Jsonl,
    /// Values as they are, for scripts
    Raw,
    /// Comma-separated, with a heading line
    Csv,
}

/// What is known of the place where the data is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    pub(crate) paint: Paint,
    /// Columns of the terminal; none elsewhere.
    pub(crate) width: Option<usize>,
}

/// Rows of cells, each already fit to be shown.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) header: &'static [&'static str],
    pub(crate) rows: Vec<Vec<String>>,
}

impl Rows {
    pub(crate) fn one(header: &'static [&'static str], row: Vec<String>) -> Self {
        Self {
            header,
            rows: vec![row],
        }
    }
}

/// Appends a number on a line of its own.
pub(crate) fn number_line(out: &mut Vec<u8>, number: impl fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = writeln!(out, "{number}");
}

/// The result of one command.
pub(crate) trait Report {
    /// Appends what the raw format prints.
    fn raw(&self, out: &mut Vec<u8>);
    /// The whole result as one object.
    fn object(&self) -> Map<String, Value>;
    /// What jsonl prints, an object a line: the whole, or records.
    fn objects(&self) -> Vec<Map<String, Value>> {
        vec![self.object()]
    }
    /// The result as rows.
    fn rows(&self) -> Rows;
    /// All rows there are, if one heading cannot stand over all of them.
    fn tables(&self) -> Vec<Rows> {
        vec![self.rows()]
    }
    /// How the command ended.
    fn exit(&self) -> Exit;
    /// What standard error should say about it.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One output format.
trait Printer {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()>;
    /// One part of a result that comes in several.
    fn part(&mut self, part: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        self.print(part, out)
    }
    /// What follows the last part; every result in parts has at least one.
    fn end_parts(&mut self, _closing: Map<String, Value>, _out: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
    /// No further part comes, and the result is not whole.
    fn break_off(&mut self, _out: &mut Vec<u8>) {}
}

/// Standard output in one format. Nothing is written before [`Output::flush`] or
/// before the buffer is full.
pub(crate) struct Output {
    printer: Box<dyn Printer>,
    buffer: Vec<u8>,
    /// Stands between the data and the terminal.
    pager: Option<Pager>,
}

impl Output {
    const BUFFER: usize = 64 * 1024;

    pub(crate) fn new(format: Format, screen: Screen) -> Self {
        let paint = screen.paint;
        let printer: Box<dyn Printer> = match format {
            Format::Table => Box::new(table::Table(screen)),
            Format::Json => Box::new(json::Json::new(paint)),
            Format::Jsonl => Box::new(jsonl::JsonLines(paint)),
            Format::Raw => Box::new(raw::Raw),
            Format::Csv => Box::new(csv::Csv::default()),
        };
        Self {
            printer,
            buffer: Vec::new(),
            pager: None,
        }
    }

    /// From here to [`Output::leave_pager`] what is long goes through a pager.
    pub(crate) fn enter_pager(&mut self, pager: Option<Pager>) {
        self.pager = pager;
    }

    /// Waits for a pager that was started. True if it was left before the end.
    pub(crate) fn leave_pager(&mut self) -> Result<bool, Failure> {
        match self.pager.take() {
            Some(pager) => Ok(pager.finish()?),
            None => Ok(false),
        }
    }

    pub(crate) fn print(&mut self, report: &dyn Report) -> Result<(), Failure> {
        self.printer.print(report, &mut self.buffer)?;
        self.flush_if_full()
    }

    /// Prints one part of a result; [`Output::end_parts`] ends it.
    pub(crate) fn part(&mut self, part: &dyn Report) -> Result<(), Failure> {
        self.printer.part(part, &mut self.buffer)?;
        self.flush_if_full()
    }

    pub(crate) fn end_parts(&mut self, closing: Map<String, Value>) -> Result<(), Failure> {
        self.printer.end_parts(closing, &mut self.buffer)?;
        self.flush_if_full()
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn break_off(&mut self) {
        self.printer.break_off(&mut self.buffer);
    }

    fn flush_if_full(&mut self) -> Result<(), Failure> {
        if self.buffer.len() >= Self::BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Some(pager) = &mut self.pager {
            let written = pager.write(&self.buffer);
            self.buffer.clear();
            return Ok(written?);
        }
        // Not through println!: its line buffering would cost a write per line.
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
        self.buffer.clear();
        Ok(written?)
    }
}
