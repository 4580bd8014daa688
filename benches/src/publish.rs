//! `kvbench report`: the page of all published figures, and its plots, from the files
//! that the measuring commands have kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;
use crate::results::{Results, Table};
use crate::svg;

#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    /// Where the files of figures are, *.json; the plots go beside them.
    #[arg(long, value_name = "DIR", default_value = "docs/performance")]
    from: PathBuf,
    /// The page to write.
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    into: PathBuf,
    /// Write nothing; exit with 1 if anything would be written.
    #[arg(long)]
    check: bool,
}

/// The order in which benches come on the page; others follow by name.
const ORDER: [&str; 3] = ["peers", "restart", "snapshot"];

const HEAD: &str = "# Performance

Written by `kvbench report` from the files in `performance/`; do not edit by hand. How to measure again is said with \
each part: its command takes `--results FILE`.

Figures of a machine say little about another one; ratios of servers that were asked in one run, by one driver, on the \
same cores say more, so they come first. Server CPU per operation is the steadier figure: a second of a shared machine \
is not always the same second. Beside a median stand the least and the most of the rounds, and with each part what \
else the machine was doing (load average). Every reply was checked, and what was acknowledged was read back.
";

/// Writes the page and the plots, and returns the names of what has changed.
pub(crate) fn run(args: &ReportArgs) -> Result<Vec<String>> {
    let mut all = read(&args.from)?;
    if all.is_empty() {
        return Err(format!("there are no figures in {}", args.from.display()).into());
    }
    let place = |results: &Results| {
        let place = ORDER.iter().position(|name| *name == results.bench);
        (place.unwrap_or(ORDER.len()), results.bench.clone())
    };
    all.sort_by_key(place);
    let beside = args.into.parent().unwrap_or(Path::new(""));
    let link = args.from.strip_prefix(beside).unwrap_or(&args.from);
    let mut page = HEAD.to_owned();
    let mut files = Vec::new();
    for results in &all {
        page.push('\n');
        page.push_str(&results.page(2, |_, table| plots(table, link)));
        for table in &results.tables {
            for column in plotted(table) {
                let plot = svg::bars(table, column);
                files.push((args.from.join(file_name(table, column)), plot));
            }
        }
    }
    files.push((args.into.clone(), page));
    let mut changed = Vec::new();
    for (path, text) in files {
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        changed.push(path.display().to_string());
        if !args.check {
            fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
    }
    Ok(changed)
}

impl ReportArgs {
    /// Whether what `run` returned is a failure.
    pub(crate) fn is_stale(&self, changed: &[String]) -> bool {
        self.check && !changed.is_empty()
    }
}

fn read(dir: &Path) -> Result<Vec<Results>> {
    let failed = |e| format!("cannot look into {}: {e}", dir.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            all.push(Results::read(&path)?);
        }
    }
    Ok(all)
}

fn plotted(table: &Table) -> impl Iterator<Item = usize> {
    let columns = table.columns.iter().enumerate();
    columns.filter(|(_, column)| column.plot).map(|(at, _)| at)
}

fn file_name(table: &Table, column: usize) -> String {
    format!("{}-{column}.svg", table.name)
}

fn plots(table: &Table, dir: &Path) -> String {
    let mut text = String::new();
    for column in plotted(table) {
        let (title, name) = (&table.title, &table.columns[column].name);
        let path = dir.join(file_name(table, column));
        // Writing to a String cannot fail.
        let _ = write!(text, "\n![{title}: {name}]({})\n", path.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn a_page_and_its_plots_are_written_and_found_stale_when_figures_change() {
        let dir = tempfile::tempdir().unwrap();
        let args = |check| ReportArgs {
            from: dir.path().join("performance"),
            into: dir.path().join("performance.md"),
            check,
        };
        let file = dir.path().join("performance/sample.json");
        sample().write(&file).unwrap();
        assert!(args(true).is_stale(&run(&args(true)).unwrap()));
        assert!(
            !dir.path().join("performance.md").exists(),
            "a check writes nothing"
        );
        assert_eq!(run(&args(false)).unwrap().len(), 2);
        let page = fs::read_to_string(dir.path().join("performance.md")).unwrap();
        assert!(
            page.contains("![Rates: per second](performance/sample-rates-0.svg)"),
            "{page}"
        );
        assert!(dir.path().join("performance/sample-rates-0.svg").exists());
        assert!(!args(true).is_stale(&run(&args(true)).unwrap()));
        let mut other = sample();
        other.tables[0].rows[0].cells[0] = vec![11.0];
        other.write(&file).unwrap();
        assert_eq!(run(&args(true)).unwrap().len(), 2);
    }

    #[test]
    fn nothing_to_report_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let args = |from: &str| ReportArgs {
            from: dir.path().join(from),
            into: dir.path().join("page.md"),
            check: false,
        };
        let error = run(&args("")).unwrap_err().to_string();
        assert!(error.contains("there are no figures in"), "{error}");
        let error = run(&args("none")).unwrap_err().to_string();
        assert!(error.contains("cannot look into"), "{error}");
    }
}
