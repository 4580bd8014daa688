//! Where a process starts: an address or a directory that is taken, a place that holds no
//! store, a file system that keeps nothing. A start that succeeds follows each.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::process::{expect, fill, refused, writes};
use super::support::{Process, command, run};
use tempfile::TempDir;

#[tokio::test]
async fn an_address_or_a_directory_that_is_taken() {
    let root = TempDir::new().unwrap();
    let first = Process::serve(root.path());
    let locked = refused(root.path(), &[]);
    expect(
        "locked",
        &locked,
        75,
        &["in use", &root.path().display().to_string()],
    );
    let taken = first.field("listen").to_owned();
    let data = root.path().join("other").display().to_string();
    for (name, arguments) in [
        ("gRPC port", ["--listen", &taken, "--http-listen", "off"]),
        (
            "HTTP port",
            ["--listen", "127.0.0.1:0", "--http-listen", &taken],
        ),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--data-dir", &data]);
        expect(
            name,
            &run(&mut command(&arguments)),
            69,
            &[&taken, "--listen"],
        );
    }
    fill(&first, 0, 1).await;
    assert_eq!(first.stop().code, Some(0));
    writes(root.path()).await;
}

#[tokio::test]
async fn a_place_that_holds_no_store() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let refused_file = refused(&file, &[]);
    expect("a file", &refused_file, 74, &[&file.display().to_string()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a directory");
    let nowhere = Path::new("/proc/kvd-data");
    expect(
        "nothing can be made there",
        &refused(nowhere, &[]),
        74,
        &["/proc/kvd-data"],
    );
    let data = root.path().join("data");
    writes(&data).await;
    if let Some(read_only) = ReadOnly::mount(&data) {
        expect("read-only", &refused(&read_only.at, &[]), 74, &["ead-only"]);
    } else {
        eprintln!("skipped: a read-only directory needs the right to mount");
    }
    writes(&data).await;
}

/// A read-only view of a directory, as long as it lives.
struct ReadOnly {
    at: PathBuf,
}

impl ReadOnly {
    fn mount(dir: &Path) -> Option<Self> {
        let at = dir.with_extension("read-only");
        fs::create_dir(&at).ok()?;
        let run = |arguments: &[&str]| {
            let status = std::process::Command::new("mount").args(arguments).status();
            status.is_ok_and(|status| status.success())
        };
        let (from, to) = (dir.display().to_string(), at.display().to_string());
        let mounted = run(&["--bind", &from, &to]);
        let this = mounted.then_some(Self { at })?;
        run(&["-o", "remount,bind,ro", &to]).then_some(this)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.at).status();
    }
}

#[tokio::test]
async fn tmpfs_has_to_be_allowed() {
    let Ok(root) = TempDir::new_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let data = root.path().join("data").display().to_string();
    let arguments = [
        "--data-dir",
        &data,
        "--listen",
        "127.0.0.1:0",
        "--http-listen",
        "off",
    ];
    let ended = run(&mut command(&arguments));
    expect("tmpfs", &ended, 78, &["tmpfs", "--allow-volatile"]);
    writes(Path::new(&data)).await;
}
