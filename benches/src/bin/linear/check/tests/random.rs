//! Random histories of a correct store, as they are and with two answers exchanged.

use kvbench::rng::Rng;

use super::super::{Kind, check};
use super::sim::{Fault, history};
use crate::op::{Action, Op, Outcome};

#[test]
fn correct_histories_pass() {
    let mut undecided = 0;
    for seed in 0..200 {
        let clients = 2 + usize::try_from(seed % 15).unwrap();
        let keys = 1 + usize::try_from(seed % 4).unwrap();
        let ops = history(Fault::None, seed, clients, keys, 300);
        undecided += ops.iter().filter(|op| op.undecided()).count();
        let violations = check(&ops, keys).violations;
        for violation in &violations {
            println!("{:?}: {}", violation.kind, violation.what);
            for &id in &violation.ops {
                println!("  {id}: {}", ops[id]);
            }
        }
        assert!(violations.is_empty(), "seed {seed}");
    }
    assert!(undecided > 200 * 3, "only {undecided} were undecided");
}

#[test]
fn exchanged_answers_are_noticed() {
    let (mut tried, mut caught) = (0, 0);
    let mut kinds: Vec<Kind> = Vec::new();
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut ops = history(Fault::None, seed, 6, 3, 120);
        let Some((a, b)) = two_alike(&ops, &mut rng) else {
            continue;
        };
        let (first, second) = (ops[a].outcome.clone(), ops[b].outcome.clone());
        ops[a].outcome = second;
        ops[b].outcome = first;
        let violations = check(&ops, 3).violations;
        kinds.extend(violations.iter().map(|violation| violation.kind));
        tried += 1;
        caught += usize::from(!violations.is_empty());
    }
    println!("{caught} of {tried} caught");
    assert!(
        tried > 200 && caught * 100 >= tried * 97,
        "{caught} of {tried}"
    );
    for kind in [Kind::Snapshot, Kind::Cycle, Kind::Key] {
        assert!(kinds.contains(&kind), "{kind:?} never raised");
    }
}

/// Every known fault is found, and by which of the checkers.
#[test]
fn broken_stores_are_found_out() {
    const SEEDS: usize = 20;
    for fault in Fault::ALL {
        let (mut found, mut by_key, mut by_revision) = (0, 0, 0);
        for seed in 0..SEEDS {
            let ops = history(fault, seed as u64, 6, 3, 500);
            let kinds: Vec<Kind> = check(&ops, 3).violations.iter().map(|v| v.kind).collect();
            let key = kinds.contains(&Kind::Key);
            let revision = kinds.iter().any(|kind| *kind != Kind::Key);
            found += usize::from(key || revision);
            by_key += usize::from(key);
            by_revision += usize::from(revision);
        }
        println!("{fault:?}: {found} of {SEEDS}, per key {by_key}, by revisions {by_revision}");
        assert!(
            found * 10 >= SEEDS * 9,
            "{fault:?}: only {found} of {SEEDS}"
        );
        assert!(by_key * 10 >= SEEDS * 9, "{fault:?}: only {by_key} per key");
        // Of undecided writes the revisions tell little.
        if !matches!(fault, Fault::Twice | Fault::Late) {
            assert!(
                by_revision * 10 >= SEEDS * 9,
                "{fault:?}: {by_revision} by revisions"
            );
        }
    }
}

/// Two answered operations of one kind on the same keys with different answers.
fn two_alike(ops: &[Op], rng: &mut Rng) -> Option<(usize, usize)> {
    for _ in 0..10_000 {
        let mut any = || usize::try_from(rng.below(ops.len() as u64)).unwrap();
        let (one, other) = (any(), any());
        let alike = match (&ops[one].action, &ops[other].action) {
            (
                Action::One { key, step, .. },
                Action::One {
                    key: key2,
                    step: step2,
                    ..
                },
            ) => key == key2 && std::mem::discriminant(step) == std::mem::discriminant(step2),
            (Action::BatchGet(keys), Action::BatchGet(keys2)) => keys == keys2,
            (Action::Txn { .. }, Action::Txn { .. }) => true,
            _ => false,
        };
        let differ = match (&ops[one].outcome, &ops[other].outcome) {
            (Outcome::Answered(reply, _), Outcome::Answered(reply2, _)) => reply != reply2,
            _ => false,
        };
        if alike && differ {
            return Some((one, other));
        }
    }
    None
}
