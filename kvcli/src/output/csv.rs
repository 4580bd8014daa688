//! csv: RFC 4180 with a heading line. In a script the heading is written again
//! only when the columns change.

use std::io;

use super::{Printer, Report};

#[derive(Default)]
pub(super) struct Csv {
    header: Option<&'static [&'static str]>,
}

impl Printer for Csv {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        for rows in report.tables() {
            // Tables may differ in width, which one writer does not allow.
            let mut writer = csv::Writer::from_writer(&mut *out);
            if self.header != Some(rows.header) {
                self.header = Some(rows.header);
                writer.write_record(rows.header)?;
            }
            for row in rows.rows {
                writer.write_record(row)?;
            }
            writer.flush()?;
        }
        Ok(())
    }
}
