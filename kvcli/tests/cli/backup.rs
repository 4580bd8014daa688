//! `backup`: whole files only.

use std::fs;

use tempfile::TempDir;

use crate::{fake::Fake, run::run};

#[test]
fn a_file_bears_its_name_only_when_it_is_whole() {
    let fake = Fake::start();
    let dir = TempDir::new().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let file = path("store.kvbackup");
    run(&fake, &["backup", &file]).exits(0).prints("bytes=12\n");
    assert_eq!(fs::read(&file).expect("there"), b"first second");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("there").permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds what the store holds");

    run(&fake, &["backup", &file])
        .exits(2)
        .says("--force writes over it");
    for (after, code, said) in [
        ("7", 5, "before its last piece"),
        ("8", 5, "the disk is gone"),
    ] {
        run(&fake, &["backup", &file, "--force", "--after", after])
            .exits(code)
            .says(said);
        assert_eq!(
            fs::read(&file).expect("there"),
            b"first second",
            "as it was"
        );
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }
    run(&fake, &["backup", &file, "--force", "--after", "9"]).exits(0);
    run(&fake, &["backup", &path("no/where")])
        .exits(2)
        .says("cannot write");
    run(&fake, &["backup", &file, "--after", "0"]).exits(2);
}

#[test]
fn standard_output_gets_the_bytes_and_nothing_else() {
    let fake = Fake::start();
    run(&fake, &["backup", "-"]).exits(0).prints("first second");
}
