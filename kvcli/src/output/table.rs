//! table: rows under headings, for people at a terminal.

use std::io::{self, Write as _};

use comfy_table::presets;

use super::{Printer, Report};

pub(super) struct Table;

impl Printer for Table {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        for rows in report.tables() {
            let mut table = comfy_table::Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED);
            table.set_header(rows.header.iter().copied());
            for row in rows.rows {
                table.add_row(row);
            }
            writeln!(out, "{table}")?;
        }
        Ok(())
    }
}
