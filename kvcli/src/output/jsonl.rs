//! jsonl: objects, each on a line of its own: one per command, or one per record.

use std::io;

use super::{Printer, Report, paint::Paint};

pub(super) struct JsonLines(pub(super) Paint);

impl Printer for JsonLines {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        for object in report.objects() {
            out.extend(self.0.json(serde_json::to_vec(&object)?));
            out.push(b'\n');
        }
        Ok(())
    }
}
