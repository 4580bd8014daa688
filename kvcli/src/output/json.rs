//! json: one indented object per command.

use std::io;

use super::{Printer, Report};

pub(super) struct Json;

impl Printer for Json {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &report.object())?;
        out.push(b'\n');
        Ok(())
    }
}
