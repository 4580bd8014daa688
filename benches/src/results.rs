//! What a run has found, as it is kept for machines: where it comes from, tables whose
//! cells hold every round, and the ratios that were to be reached. A page of markdown is
//! made from it, and from several of them the page of all figures (`kvbench report`).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::origin::Origin;
use crate::report::median;
use crate::setup::Report;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Results {
    /// The command that measured.
    pub(crate) bench: String,
    pub(crate) title: String,
    pub(crate) origin: Provenance,
    /// What a reader must know beside the figures.
    pub(crate) notes: Vec<String>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) tables: Vec<Table>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Provenance {
    pub(crate) command: String,
    pub(crate) commit: String,
    pub(crate) profile: String,
    pub(crate) cores: usize,
    /// Of the last minute, when the run began and when it ended.
    pub(crate) load_average: [f64; 2],
}

/// A ratio, one for each round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) ratios: Vec<f64>,
    pub(crate) wanted: Option<Wanted>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Table {
    /// Names its plots; letters, digits and dashes.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What the rows are grouped by.
    pub(crate) groups: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) decimals: usize,
    /// Whether a plot is made of it.
    pub(crate) plot: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) subject: String,
    /// For each column the figures of all rounds; none: it does not apply.
    pub(crate) cells: Vec<Vec<f64>>,
}

impl Column {
    pub(crate) fn new(name: &str, decimals: usize) -> Self {
        Self {
            name: name.to_owned(),
            decimals,
            plot: false,
        }
    }

    pub(crate) fn plotted(name: &str, decimals: usize) -> Self {
        Self {
            plot: true,
            ..Self::new(name, decimals)
        }
    }

    fn show(&self, values: &[f64]) -> String {
        let digits = self.decimals;
        match values {
            [] => "-".to_owned(),
            [one] => format!("{one:.digits$}"),
            all => {
                let middle = median(all.to_vec());
                let (least, most) = ends(all);
                format!("{middle:.digits$} ({least:.digits$}-{most:.digits$})")
            }
        }
    }
}

/// The least and the most of some values.
pub(crate) fn ends(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

impl Goal {
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ratios.clone())
    }

    /// A ratio that is no number reaches nothing.
    pub(crate) fn reached(&self) -> Option<bool> {
        self.wanted.map(|wanted| match wanted {
            Wanted::AtLeast(least) => self.ratio() >= least,
            Wanted::AtMost(most) => self.ratio() <= most,
        })
    }

    fn wanted(&self) -> String {
        match self.wanted {
            None => "-".to_owned(),
            Some(Wanted::AtLeast(least)) => format!(">= {least}"),
            Some(Wanted::AtMost(most)) => format!("<= {most}"),
        }
    }
}

impl Provenance {
    /// Of a run that has ended.
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            command: origin.command().to_owned(),
            commit: origin.commit().to_owned(),
            profile: origin.profile(),
            cores: origin.cores,
            load_average: [origin.load_average, crate::cpu::load_average()],
        }
    }
}

impl Results {
    pub(crate) fn new(bench: &str, title: &str, origin: &Origin) -> Self {
        Self {
            bench: bench.to_owned(),
            title: title.to_owned(),
            origin: Provenance::of(origin),
            notes: Vec::new(),
            goals: Vec::new(),
            tables: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(crate) fn goal(
        &mut self,
        what: impl Into<String>,
        ratios: Vec<f64>,
        wanted: Option<Wanted>,
    ) {
        self.goals.push(Goal {
            what: what.into(),
            ratios,
            wanted,
        });
    }

    /// Adds the page of these results and what they miss to a report.
    pub(crate) fn into_report(self, mut report: Report) -> Report {
        report.page = self.page(1, |_, _| String::new());
        let missed = self
            .goals
            .iter()
            .filter(|goal| goal.reached() == Some(false));
        let others = format!(
            " (load average {:.1} to {:.1})",
            self.origin.load_average[0], self.origin.load_average[1]
        );
        report.misses.extend(missed.map(|goal| {
            let (ratio, wanted) = (goal.ratio(), goal.wanted());
            format!("{}: {ratio:.2}, wanted {wanted}{others}", goal.what)
        }));
        report.results = Some(self);
        report
    }

    /// Everything as markdown, with its heading at `level`; `after` adds what belongs
    /// below a table.
    pub(crate) fn page(&self, level: usize, after: impl Fn(&Self, &Table) -> String) -> String {
        let marks = "#".repeat(level);
        let origin = &self.origin;
        let mut page = format!(
            "{marks} {}\n\n- command: `{}`\n- commit {}, profile {}, {} cores; load average {:.2} \
             before, {:.2} after\n",
            self.title,
            origin.command,
            origin.commit,
            origin.profile,
            origin.cores,
            origin.load_average[0],
            origin.load_average[1],
        );
        for note in &self.notes {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "- {note}");
        }
        if !self.goals.is_empty() {
            page.push_str("\n| ratio | median | of the rounds | wanted | |\n");
            page.push_str("| --- | ---: | --- | --- | --- |\n");
        }
        for goal in &self.goals {
            let all = goal.ratios.iter().map(|ratio| format!("{ratio:.2}"));
            let _ = writeln!(
                page,
                "| {} | **{:.2}** | {} | {} | {} |",
                goal.what,
                goal.ratio(),
                all.collect::<Vec<_>>().join(", "),
                goal.wanted(),
                match goal.reached() {
                    None => "",
                    Some(true) => "reached",
                    Some(false) => "MISSED",
                },
            );
        }
        for table in &self.tables {
            page.push_str(&table.text(level + 1));
            page.push_str(&after(self, table));
        }
        page
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let failed = |e| format!("cannot write {}: {e}", path.display());
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        Ok(fs::write(path, text).map_err(failed)?)
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.display());
        let text = fs::read_to_string(path).map_err(|e| failed(&e))?;
        let results: Self = serde_json::from_str(&text).map_err(|e| failed(&e))?;
        results.check().map_err(|e| failed(&e))?;
        Ok(results)
    }

    /// What the types do not say: files and pages are named after these.
    fn check(&self) -> std::result::Result<(), String> {
        let names = self.tables.iter().map(|table| &table.name);
        for name in names.chain([&self.bench]) {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(format!("{name:?} is no name: letters, digits and dashes"));
            }
        }
        for table in &self.tables {
            let wide = |row: &&Row| row.cells.len() != table.columns.len();
            if let Some(row) = table.rows.iter().find(wide) {
                return Err(format!(
                    "table {}: the row {}, {} has {} cells for {} columns",
                    table.name,
                    row.group,
                    row.subject,
                    row.cells.len(),
                    table.columns.len()
                ));
            }
        }
        Ok(())
    }
}

impl Table {
    fn text(&self, level: usize) -> String {
        let mut text = format!(
            "\n{} {}\n\n| {} | |",
            "#".repeat(level),
            self.title,
            self.groups
        );
        for column in &self.columns {
            let _ = write!(text, " {} |", column.name);
        }
        text.push_str("\n| --- | --- |");
        text.push_str(&" ---: |".repeat(self.columns.len()));
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "| {} | {} |", row.group, row.subject);
            for (column, values) in self.columns.iter().zip(&row.cells) {
                let _ = write!(text, " {} |", column.show(values));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod tests;
