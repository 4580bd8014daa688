//! The screen of `kvcli top`.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    reading::{Calls, Reading, number, or_dash, time},
    slow,
};
use crate::output::paint::Paint;

/// Room for a figure with its name.
const FIGURE: u16 = 36;
const NAME: usize = 16;

/// Draws a reading on a screen of any size.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    reading: &Reading,
    trouble: Option<&str>,
    interval: Duration,
    paint: Paint,
) {
    let area = frame.area();
    let columns = usize::from((area.width / FIGURE).max(1));
    let lines = reading.figures.len().div_ceil(columns);
    let lines = u16::try_from(lines).unwrap_or(u16::MAX);
    // An empty line and a heading stand before them; the calls keep most of the room.
    let slow = match reading.slow.len() {
        0 => 0,
        some => u16::try_from(some + 2)
            .unwrap_or(u16::MAX)
            .min(area.height / 3),
    };
    let [title, figures, _, calls, slow, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lines),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(slow),
        Constraint::Length(1),
    ])
    .areas(area);
    let bold = style(paint, |style| style.add_modifier(Modifier::BOLD));
    frame.render_widget(Line::styled(reading.title.as_str(), bold), title);
    draw_figures(frame, reading, figures, lines, paint);
    draw_calls(frame, reading, calls, paint);
    draw_slow(frame, reading, slow, paint);
    let wrong = style(paint, |style| style.fg(Color::Red));
    let faint = style(paint, |style| style.add_modifier(Modifier::DIM));
    let foot_line = match (trouble, &reading.missing) {
        (Some(trouble), _) => Line::styled(trouble.to_owned(), wrong),
        (None, Some(missing)) => Line::styled(format!("no /metrics: {missing}"), wrong),
        (None, None) => Line::styled(
            format!("every {interval:?}: + - slower faster, q ends"),
            faint,
        ),
    };
    frame.render_widget(foot_line, foot);
}

fn style(paint: Paint, with: impl FnOnce(Style) -> Style) -> Style {
    if paint.0 {
        with(Style::new())
    } else {
        Style::new()
    }
}

/// Column after column, so that what belongs together stands together.
fn draw_figures(frame: &mut Frame<'_>, reading: &Reading, area: Rect, lines: u16, paint: Paint) {
    if lines == 0 {
        return;
    }
    let value_style = style(paint, |style| style.fg(Color::Yellow));
    let chunks = reading.figures.chunks(usize::from(lines));
    for (column, figures) in (0_u16..).zip(chunks) {
        let text: Vec<Line<'_>> = figures
            .iter()
            .map(|(name, value)| {
                let name = Span::raw(format!("{name:<NAME$}"));
                Line::from(vec![
                    name,
                    Span::styled(or_dash(value.clone()), value_style),
                ])
            })
            .collect();
        let x = area.x.saturating_add(column.saturating_mul(FIGURE));
        let part = Rect {
            x,
            width: area.right().saturating_sub(x).min(FIGURE),
            ..area
        };
        frame.render_widget(Paragraph::new(text), part.intersection(area));
    }
}

fn draw_calls(frame: &mut Frame<'_>, reading: &Reading, area: Rect, paint: Paint) {
    let header = ["call", "per second", "failed", "p50", "p90", "p99"];
    let bold = style(paint, |style| style.add_modifier(Modifier::BOLD));
    let row = |calls: &Calls| {
        let mut cells = vec![
            Cell::from(calls.name.clone()),
            Cell::from(number(calls.per_second)),
            Cell::from(number(calls.failed)),
        ];
        let quantile = |quantile: Option<f64>| Cell::from(or_dash(quantile.map(time)));
        cells.extend(calls.quantiles.map(quantile));
        Row::new(cells)
    };
    let widths = [
        Constraint::Length(24),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let table = Table::new(reading.calls.iter().map(row), widths);
    frame.render_widget(table.header(Row::new(header).style(bold)), area);
}

fn draw_slow(frame: &mut Frame<'_>, reading: &Reading, area: Rect, paint: Paint) {
    if area.height < 2 {
        return;
    }
    let area = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    let bold = style(paint, |style| style.add_modifier(Modifier::BOLD));
    let rows = reading.slow.iter().map(|slow| Row::new(slow.cells()));
    let widths = [14, 9, 7, 7, 7, 7, 7, 7, 9].map(Constraint::Length);
    let table = Table::new(rows, widths);
    let header = Row::new(slow::HEADER.to_vec()).style(bold);
    frame.render_widget(table.header(header), area);
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn reading() -> Reading {
        let figures = [
            ("keys", "1204877"),
            ("memory", "212 MiB of 4 GiB"),
            ("writes/s", "41210"),
            ("not durable yet", "61"),
            ("log", "1.4 GiB"),
            ("log written/s", "6.2 MiB"),
            ("syncs/s", "655"),
            ("sync, mean", "1.4 ms"),
            ("group size", "62.9"),
            ("slow ops/s", "0.3"),
            ("slow from", "50.0 ms"),
            ("in flight", "64"),
            ("connections", "9"),
            ("resident", "309 MiB"),
            ("cpu", "118 %"),
            ("round trip", "412 us"),
        ];
        let calls = |name: &str, per_second, failed, quantiles| Calls {
            name: name.to_owned(),
            per_second,
            failed,
            quantiles,
        };
        Reading {
            title: "kvd 0.1.0 at 127.0.0.1:7500, serving, up 3 h 12 min".to_owned(),
            figures: figures
                .map(|(name, value)| (name, Some(value.to_owned())))
                .into(),
            calls: vec![
                calls(
                    "Set",
                    41_190.0,
                    0.0,
                    [Some(0.001), Some(0.0025), Some(0.005)],
                ),
                calls(
                    "Get",
                    40_877.4,
                    0.0,
                    [Some(0.0001), Some(0.00025), Some(0.001)],
                ),
                calls("Increment (pipeline)", 20.0, 0.5, [None; 3]),
                calls("GetStatus", 1.0, 0.0, [Some(0.0001); 3]),
            ],
            slow: slow::some(),
            missing: None,
        }
    }

    fn screen(width: u16, height: u16, reading: &Reading, trouble: Option<&str>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
        terminal
            .draw(|frame| draw(frame, reading, trouble, Duration::from_secs(1), Paint(true)))
            .expect("drawn");
        let buffer = terminal.backend().buffer();
        let line = |y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..height).map(|y| line(y) + "\n").collect()
    }

    /// The page shows what the program draws.
    #[test]
    fn the_screen_is_the_one_in_the_documentation() {
        let screen = screen(80, 20, &reading(), None);
        let page = include_str!("../../../docs/kvcli.md");
        assert!(
            page.contains(&format!("```text\n{screen}```")),
            "\n{screen}"
        );
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        for width in [1, 2, 20, 33, 80, 200] {
            for height in [1, 2, 5, 24] {
                screen(width, height, &reading(), Some("gone"));
            }
        }
        let narrow = screen(20, 24, &reading(), None);
        assert!(narrow.contains("keys            1204"), "{narrow}");
        assert!(screen(60, 20, &reading(), Some("unreachable: x")).contains("unreachable: x"));
    }
}
