#![expect(
    clippy::float_cmp,
    reason = "the numbers are chosen so that nothing is rounded"
)]

use super::*;
use crate::shapes::{Call, Shape};
use hdrhistogram::Histogram;

const ROW: Row = Row {
    call: Call::Get,
    policy: "always",
    shape: Shape::new(4, 64),
};

fn figures(ops_per_second: f64, server_us: f64) -> Figures {
    Figures {
        ops_per_second,
        server_us,
        client_us: 7.0,
        other_cores: 0.1,
        latency_us: [1.0, 2.0, 3.0],
    }
}

fn outcome(row: Row, kvd: &[f64], floor_us: f64) -> Outcome {
    let pair = |&ops| Pair {
        floor: figures(100_000.0, floor_us),
        kvd: figures(ops, floor_us * 1.5),
    };
    Outcome {
        row,
        pairs: kvd.iter().map(pair).collect(),
    }
}

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    assert!(median(vec![]).is_nan());
}

#[test]
fn figures_are_per_second_and_per_operation() {
    let mut latency = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    for us in 1..=1000 {
        latency.record(us * 1000).unwrap();
    }
    let measured = Measured {
        ops: 1000,
        elapsed: Duration::from_millis(500),
        server_cpu: Duration::from_millis(5),
        client_cpu: Duration::from_millis(7),
        other_cpu: Duration::from_millis(50),
        latency,
    };
    let figures = Figures::of(&measured);
    assert_eq!(figures.ops_per_second, 2000.0);
    assert_eq!((figures.server_us, figures.client_us), (5.0, 7.0));
    assert_eq!(figures.other_cores, 0.1);
    for (found, wanted) in figures.latency_us.into_iter().zip([500.0, 990.0, 999.0]) {
        assert!((found / wanted - 1.0).abs() < 0.002, "{found} for {wanted}");
    }
}

#[test]
fn a_median_ratio_below_the_target_is_missed() {
    let reached = outcome(ROW, &[91_000.0, 10.0, 90_000.0], 5.0);
    assert_eq!(reached.misses(), [] as [String; 0]);
    assert_eq!(reached.verdict(), "reached");
    let missed = outcome(ROW, &[89_900.0, 200_000.0, 89_000.0], 5.0);
    assert_eq!(
        missed.misses(),
        ["GET, 4x64, kvd --sync always: 0.899 of the floor, wanted >= 0.90"]
    );
    assert_eq!(missed.verdict(), "MISSED");
    let mut disturbed = missed;
    disturbed.pairs[1].floor.other_cores = 0.9;
    let misses = disturbed.misses();
    assert!(
        misses[0].ends_with("kept 0.9 cores busy: repeat when it is quiet)"),
        "{misses:?}"
    );
}

#[test]
fn a_dear_floor_and_a_row_without_pairs_are_missed() {
    let dear = outcome(ROW, &[99_000.0], 5.5).misses();
    assert_eq!(dear.len(), 1);
    assert!(dear[0].contains("costs 5.50 µs"), "{dear:?}");
    assert_eq!(outcome(ROW, &[], 5.0).misses().len(), 2);
}

#[test]
fn rows_without_a_target_are_only_shown() {
    let logged = Row {
        call: Call::SetLogged,
        ..ROW
    };
    let slow = outcome(logged, &[1.0], 50.0);
    assert!(slow.misses().is_empty());
    assert_eq!(slow.verdict(), "-");
}

#[test]
fn the_page_shows_the_setting_the_medians_and_every_pair() {
    let setting = Setting {
        origin: Origin::new().unwrap(),
        runtimes: 2,
        threads: 2,
        keys: 100_000,
        key_bytes: 16,
        value_bytes: 64,
        seconds: 3.0,
        warm: 0.5,
        subject: "kvd",
    };
    let page = markdown(
        &setting,
        &[outcome(ROW, &[95_000.0, 85_000.0, 92_000.0], 5.0)],
    );
    let median = "| GET | 4x64 | always | 100000 | 92000 | **0.920** | 0.90 | 5.00 | 7.50 | 1.50 | 0.10 | reached |";
    for wanted in [
        ", profile ",
        "100000 keys of 16 bytes",
        median,
        "## GET, 4x64, kvd --sync always",
        "| 1 | floor | 100000 | 5.00 | 7.00 | 1 | 2 | 3 | 0.10 |  |  |",
        "| 2 | kvd | 85000 | 7.50 | 7.00 | 1 | 2 | 3 | 0.10 | 0.850 | 1.500 |",
    ] {
        assert!(
            page.lines().any(|line| line.contains(wanted)),
            "{wanted} is not in\n{page}"
        );
    }
}
