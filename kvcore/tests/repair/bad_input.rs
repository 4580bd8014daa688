//! What is refused: by name, and with nothing written.

use std::fs;

use kvcore::{OpenErrorKind, Way, check, repair};

use super::support::{Known, change, open, segment, snapshots_in};

fn refused(known: &Known, dir: &std::path::Path, part: &str, kind: OpenErrorKind) {
    let into = known.path("new");
    let error = repair(dir, Way::Salvage, Some(&into), true, &|_| ()).expect_err(part);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
    assert!(!into.exists());
}

#[test]
fn what_a_newer_kvd_wrote_is_left_alone() {
    let known = Known::make(3000, &[2000]);
    let manifest = known.copy("manifest");
    change(&manifest.join("MANIFEST"), |bytes| bytes[8] = 2);
    refused(&known, &manifest, "use a newer kvd", OpenErrorKind::Damaged);
    let log = known.copy("log");
    change(&log.join(segment(2)), |bytes| bytes[8] = 2);
    refused(&known, &log, "use a newer kvd", OpenErrorKind::Damaged);
    let snapshot = known.copy("snapshot");
    let name = snapshots_in(&snapshot).remove(0);
    change(&snapshot.join(name), |bytes| bytes[8] = 2);
    refused(&known, &snapshot, "use a newer kvd", OpenErrorKind::Damaged);
}

#[test]
fn a_store_in_use_and_a_target_that_is_not_empty_are_refused() {
    let known = Known::make(100, &[]);
    let dir = known.path("store");
    let into = known.path("new");
    let salvage = |into: &std::path::Path| repair(&dir, Way::Salvage, Some(into), true, &|_| ());
    let store = open(&dir);
    refused(&known, &dir, "in use", OpenErrorKind::Locked);
    let used = check(&dir).expect_err("in use");
    assert_eq!(used.kind(), OpenErrorKind::Locked);
    drop(store);
    fs::create_dir(&into).unwrap();
    fs::write(into.join("something"), b"").unwrap();
    let error = salvage(&into).expect_err("it is not empty");
    assert_eq!(error.kind(), OpenErrorKind::Options);
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
    for inside in [dir.clone(), dir.join("inside"), dir.join("in/side")] {
        let error = salvage(&inside).expect_err("it lies in the store");
        assert!(
            error.to_string().contains("name another directory"),
            "{error}"
        );
        assert!(inside == dir || !inside.exists());
    }
    let nothing = known.path("nothing");
    refused_dir(&nothing, "not a directory");
    fs::create_dir(&nothing).unwrap();
    refused_dir(&nothing, "no store to repair");
    assert_eq!(
        fs::read_dir(&nothing).unwrap().count(),
        0,
        "not even a lock"
    );
}

fn refused_dir(dir: &std::path::Path, part: &str) {
    let error = repair(dir, Way::Salvage, None, false, &|_| ()).expect_err(part);
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn a_whole_store_can_be_copied_so() {
    let known = Known::make(1000, &[500]);
    let dir = known.copy("whole");
    let (told, there) = super::support::repaired(&dir, Way::Salvage).expect("repaired");
    assert!(there == known.at(known.last()), "{told}");
    assert_eq!((told.lost, told.files.len()), (0, 0), "{told}");
}
