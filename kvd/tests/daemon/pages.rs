//! The manual pages and the completions of shells that `kvd` makes.

use std::fs;

use super::support::{command, run};
use tempfile::TempDir;

#[test]
fn pages_and_completions_are_made_from_the_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&mut command(&["completions", shell]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("drain-timeout"), "{shell}");
    }
    let page = run(&mut command(&["man"]));
    assert!(page.stdout.contains(".TH kvd 1"), "{}", page.stdout);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("man");
    let ended = run(&mut command(&["man", "--dir", path.to_str().unwrap()]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let restore = fs::read_to_string(path.join("kvd-restore.1")).unwrap();
    assert!(restore.contains("at\\-revision"), "{restore}");
    assert!(path.join("kvd.1").exists() && path.join("kvd-config-check.1").exists());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ended = run(&mut command(&["man", "--dir", file.to_str().unwrap()]));
    assert_eq!(ended.code, Some(74));
    assert!(
        ended.stderr.contains("cannot write into"),
        "{}",
        ended.stderr
    );
}
