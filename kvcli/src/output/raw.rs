//! raw: what a shell script wants, bytes as they are.

use std::io;

use super::{Printer, Report};

pub(super) struct Raw;

impl Printer for Raw {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        report.raw(out);
        Ok(())
    }
}
