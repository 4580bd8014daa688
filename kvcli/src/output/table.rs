//! table: rows under headings, for people at a terminal. Where the terminal is
//! too narrow for all columns, a record takes a line for each of its fields.

use std::io;

use super::{
    Printer, Report, Rows, Screen,
    paint::{Kind, columns},
};

pub(super) struct Table(pub(super) Screen);

impl Printer for Table {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        for rows in report.tables() {
            let widths = widths(&rows);
            // A line, two blanks beside each cell, and a line after it.
            let whole = widths.iter().map(|width| width + 3).sum::<usize>() + 1;
            let text = match self.0.width {
                Some(limit) if whole > limit => self.upright(&rows),
                _ => self.flat(&rows, &widths),
            };
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }
}

/// The widest cell of each column.
fn widths(rows: &Rows) -> Vec<usize> {
    let mut widths: Vec<usize> = rows.header.iter().map(|name| columns(name)).collect();
    for row in &rows.rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    widths
}

impl Table {
    fn flat(&self, rows: &Rows, widths: &[usize]) -> String {
        let mut out = String::new();
        self.rule(&mut out, widths, ['┌', '─', '┬', '┐']);
        let header: Vec<(Kind, &str)> = rows.header.iter().map(|n| (Kind::Heading, *n)).collect();
        self.line(&mut out, widths, &header);
        self.rule(&mut out, widths, ['╞', '═', '╪', '╡']);
        for row in &rows.rows {
            let cells: Vec<(Kind, &str)> = rows
                .header
                .iter()
                .zip(row)
                .map(|(name, cell)| (Kind::of(name, cell), cell.as_str()))
                .collect();
            self.line(&mut out, widths, &cells);
        }
        self.rule(&mut out, widths, ['└', '─', '┴', '┘']);
        out
    }

    fn rule(&self, out: &mut String, widths: &[usize], [left, line, cross, right]: [char; 4]) {
        let mut rule = String::from(left);
        for (at, width) in widths.iter().enumerate() {
            if at > 0 {
                rule.push(cross);
            }
            rule.extend(std::iter::repeat_n(line, width + 2));
        }
        rule.push(right);
        self.0.paint.put(out, Kind::Faint, &rule);
        out.push('\n');
    }

    fn line(&self, out: &mut String, widths: &[usize], cells: &[(Kind, &str)]) {
        for (at, (width, (kind, cell))) in widths.iter().zip(cells).enumerate() {
            let border = if at == 0 { "│" } else { "┆" };
            self.0.paint.put(out, Kind::Faint, border);
            out.push(' ');
            self.0.paint.put(out, *kind, cell);
            pad(out, width - columns(cell) + 1);
        }
        self.0.paint.put(out, Kind::Faint, "│");
        out.push('\n');
    }

    /// A line for each field, an empty line between records.
    fn upright(&self, rows: &Rows) -> String {
        let widest = rows.header.iter().map(|name| columns(name)).max();
        let mut out = String::new();
        for (at, row) in rows.rows.iter().enumerate() {
            if at > 0 {
                out.push('\n');
            }
            for (name, cell) in rows.header.iter().zip(row) {
                self.0.paint.put(&mut out, Kind::Heading, name);
                pad(&mut out, widest.unwrap_or(0) - columns(name) + 1);
                self.0.paint.put(&mut out, Kind::of(name, cell), cell);
                out.push('\n');
            }
        }
        out
    }
}

fn pad(out: &mut String, blanks: usize) {
    out.extend(std::iter::repeat_n(' ', blanks));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paint::Paint;

    fn rows() -> Rows {
        Rows {
            header: &["key", "value", "version"],
            rows: vec![
                vec!["a".into(), "漢字".into(), "7".into()],
                vec!["long".into(), String::new(), "12".into()],
            ],
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = Table(Screen::default());
        assert_eq!(
            table.flat(&rows(), &widths(&rows())),
            "┌──────┬───────┬─────────┐\n\
             │ key  ┆ value ┆ version │\n\
             ╞══════╪═══════╪═════════╡\n\
             │ a    ┆ 漢字  ┆ 7       │\n\
             │ long ┆       ┆ 12      │\n\
             └──────┴───────┴─────────┘\n"
        );
    }

    #[test]
    fn a_narrow_terminal_gets_a_line_for_each_field() {
        let table = Table(Screen::default());
        assert_eq!(
            table.upright(&rows()),
            "key     a\nvalue   漢字\nversion 7\n\nkey     long\nvalue   \nversion 12\n"
        );
    }

    #[test]
    fn types_have_colours() {
        let table = Table(Screen {
            paint: Paint(true),
            ..Screen::default()
        });
        let text = table.upright(&rows());
        assert!(text.contains("\x1b[36ma\x1b[0m"), "{text:?}");
        assert!(text.contains("\x1b[33m7\x1b[0m"), "{text:?}");
    }
}
