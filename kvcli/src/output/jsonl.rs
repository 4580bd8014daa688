//! jsonl: exactly one object per command, on one line.

use std::io;

use super::{Printer, Report};

pub(super) struct JsonLines;

impl Printer for JsonLines {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &report.object())?;
        out.push(b'\n');
        Ok(())
    }
}
