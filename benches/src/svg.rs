//! Plots: horizontal bars in groups, drawn as SVG that reads on light and dark pages.
//!
//! One kind of plot is needed, so it is written out here; a library for plots would bring
//! more code than this page has.

use std::fmt::Write as _;

use crate::report::median;
use crate::results::{Table, ends};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how much is left behind them for their figures.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;
const BETWEEN: f64 = 14.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 14.0;
/// One for each subject, in the order in which they first come; told apart also by those
/// who do not see all colours.
const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

/// A plot of one column: the median as a bar, the rounds as a line over its end.
pub(crate) fn bars(table: &Table, column: usize) -> String {
    let rows: Vec<(&str, &str, &[f64])> = table
        .rows
        .iter()
        .map(|row| {
            (
                row.group.as_str(),
                row.subject.as_str(),
                row.cells[column].as_slice(),
            )
        })
        .filter(|(_, _, values)| !values.is_empty())
        .collect();
    let mut subjects: Vec<&str> = Vec::new();
    for (_, subject, _) in &rows {
        if !subjects.contains(subject) {
            subjects.push(subject);
        }
    }
    let most = rows
        .iter()
        .map(|(_, _, values)| ends(values).1)
        .fold(0.0, f64::max);
    let scale = if most > 0.0 && most.is_finite() {
        (WIDTH - LEFT - RIGHT) / most
    } else {
        0.0
    };
    let (mut body, mut y, mut last) = (String::new(), TOP, None);
    for (group, subject, values) in &rows {
        if last != Some(*group) {
            y += if last.is_some() { BETWEEN } else { 0.0 } + BAR;
            // Writing to a String cannot fail.
            let _ = writeln!(
                body,
                r#"<text x="8" y="{:.0}" class="g">{}</text>"#,
                y - GAP,
                plain(group)
            );
            last = Some(*group);
        }
        let at = subjects
            .iter()
            .position(|known| known == subject)
            .unwrap_or(0);
        let bar = Bar {
            y,
            subject,
            values,
            colour: COLOURS[at % COLOURS.len()],
            decimals: table.columns[column].decimals,
        };
        bar.draw(scale, &mut body);
        y += BAR + GAP;
    }
    let height = y + BOTTOM;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#24292f}}.g{{font-weight:600}}.w{{stroke:#24292f}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.w{{stroke:#e6edf3}}}}</style>\n\
         <text x=\"8\" y=\"20\" font-size=\"15\" font-weight=\"600\">{}</text>\n\
         <text x=\"8\" y=\"38\">{}</text>\n{body}</svg>\n",
        plain(&table.title),
        plain(&table.columns[column].name),
    )
}

struct Bar<'a> {
    y: f64,
    subject: &'a str,
    values: &'a [f64],
    colour: &'static str,
    decimals: usize,
}

impl Bar<'_> {
    fn draw(&self, scale: f64, into: &mut String) {
        let finite = |value: f64| {
            if value.is_finite() {
                value.max(0.0)
            } else {
                0.0
            }
        };
        let middle = median(self.values.to_vec());
        let (least, most) = ends(self.values);
        let (y, width) = (self.y, finite(middle) * scale);
        let (text, line) = (y + BAR - GAP, y + BAR / 2.0);
        let (from, to) = (LEFT + finite(least) * scale, LEFT + finite(most) * scale);
        let (digits, colour) = (self.decimals, self.colour);
        let _ = write!(
            into,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR:.0}\" fill=\"{colour}\"/>",
            LEFT - 8.0,
            plain(self.subject),
        );
        if self.values.len() > 1 {
            let _ = write!(
                into,
                "<line class=\"w\" x1=\"{from:.1}\" y1=\"{line:.0}\" x2=\"{to:.1}\" y2=\"{line:.0}\"/>"
            );
        }
        let _ = writeln!(
            into,
            "<text x=\"{:.1}\" y=\"{text:.0}\">{middle:.digits$}</text>",
            to.max(LEFT + width) + 6.0
        );
    }
}

/// Text without what means something in SVG.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            '"' => plain.push_str("&quot;"),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let table = &sample().tables[0];
        let plot = bars(table, 0);
        let room = WIDTH - LEFT - RIGHT;
        // Rounds of 10, 30 and 20, and one of 5; the longest round is 30.
        for width in [room * 20.0 / 30.0, room * 5.0 / 30.0] {
            assert!(
                plot.contains(&format!("width=\"{width:.1}\"")),
                "{width} in {plot}"
            );
        }
        assert_eq!(plot.matches("<rect").count(), 2);
        assert_eq!(
            plot.matches("class=\"w\" x1").count(),
            1,
            "one has rounds to show"
        );
        assert!(
            plot.contains(">Rates<") && plot.contains(">per second<"),
            "{plot}"
        );
    }

    #[test]
    fn names_cannot_break_out_and_nothing_gives_an_empty_plot() {
        let mut table = sample().tables.remove(0);
        table.rows[0].subject = "<script>&\"".into();
        table.rows[1].cells[0] = vec![f64::NAN];
        let plot = bars(&table, 0);
        assert!(plot.contains("&lt;script&gt;&amp;&quot;"), "{plot}");
        assert!(
            plot.contains("width=\"0.0\"") && !plot.contains("width=\"NaN\""),
            "{plot}"
        );
        table.rows.clear();
        assert_eq!(bars(&table, 0).matches("<rect").count(), 0);
    }
}
