use super::*;

pub(crate) fn sample() -> Results {
    Results {
        bench: "sample".into(),
        title: "A sample".into(),
        origin: Provenance {
            command: "kvbench sample".into(),
            commit: "abc".into(),
            profile: "release".into(),
            cores: 2,
            load_average: [0.5, 1.0],
        },
        notes: vec!["nothing is real".into()],
        goals: vec![
            Goal {
                what: "speed".into(),
                ratios: vec![3.0, 1.0, 2.0],
                wanted: Some(Wanted::AtLeast(2.0)),
            },
            Goal {
                what: "cost".into(),
                ratios: vec![2.5],
                wanted: Some(Wanted::AtMost(2.0)),
            },
        ],
        tables: vec![Table {
            name: "sample-rates".into(),
            title: "Rates".into(),
            groups: "shape".into(),
            columns: vec![Column::plotted("per second", 0), Column::new("µs", 1)],
            rows: vec![
                Row {
                    group: "1x1".into(),
                    subject: "kvd".into(),
                    cells: vec![vec![10.0, 30.0, 20.0], vec![1.25]],
                },
                Row {
                    group: "1x1".into(),
                    subject: "Redis".into(),
                    cells: vec![vec![5.0], vec![]],
                },
            ],
        }],
    }
}

#[test]
fn a_goal_is_judged_by_its_median() {
    let results = sample();
    assert_eq!(results.goals[0].reached(), Some(true));
    assert_eq!(results.goals[1].reached(), Some(false));
    let nothing = Goal {
        ratios: vec![f64::NAN],
        ..results.goals[0].clone()
    };
    assert_eq!(nothing.reached(), Some(false));
    let report = results.into_report(Report::default());
    assert_eq!(
        report.misses,
        ["cost: 2.50, wanted <= 2 (load average 0.5 to 1.0)"]
    );
}

#[test]
fn a_page_holds_medians_and_their_spread() {
    let page = sample().page(2, |_, table| format!("below {}\n", table.name));
    for line in [
        "## A sample",
        "- nothing is real",
        "| speed | **2.00** | 3.00, 1.00, 2.00 | >= 2 | reached |",
        "| cost | **2.50** | 2.50 | <= 2 | MISSED |",
        "### Rates",
        "| shape | | per second | µs |",
        "| 1x1 | kvd | 20 (10-30) | 1.2 |",
        "| 1x1 | Redis | 5 | - |",
        "below sample-rates",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line}\nin\n{page}"
        );
    }
}

#[test]
fn results_come_back_from_their_file_and_bad_ones_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/sample.json");
    sample().write(&path).unwrap();
    assert_eq!(Results::read(&path).unwrap(), sample());
    let mut bad = sample();
    bad.tables[0].rows[1].cells.pop();
    bad.write(&path).unwrap();
    let error = Results::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("1x1, Redis has 1 cells for 2 columns"),
        "{error}"
    );
    let mut bad = sample();
    bad.tables[0].name = "../up".into();
    bad.write(&path).unwrap();
    let error = Results::read(&path).unwrap_err().to_string();
    assert!(error.contains("\"../up\" is no name"), "{error}");
    fs::write(&path, "{}").unwrap();
    let error = Results::read(&path).unwrap_err().to_string();
    assert!(error.contains("sample.json: missing field"), "{error}");
}
