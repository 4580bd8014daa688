//! jsonl: objects, each on a line of its own: one per command, or one per record.

use std::io;

use super::{Printer, Report};

pub(super) struct JsonLines;

impl Printer for JsonLines {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        for object in report.objects() {
            serde_json::to_writer(&mut *out, &object)?;
            out.push(b'\n');
        }
        Ok(())
    }
}
