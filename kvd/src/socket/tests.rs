use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;

use super::*;
use crate::config::{Address, Mode};

const MODE: Mode = Mode(0o600);

fn bind(path: &Path) -> std::io::Result<Listener> {
    Listener::bind(&Address::Unix(path.into()), MODE)
}

#[tokio::test]
async fn the_file_has_the_mode_and_goes_with_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = bind(&path).unwrap();
    assert_eq!(listener.address().unwrap(), Address::Unix(path.clone()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, MODE.0);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists(), "as after a kill");
    let listener = bind(&path).unwrap();
    let _client = StdStream::connect(&path).unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn what_others_have_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let other = StdListener::bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(other);
    std::fs::remove_file(&path).unwrap();

    std::fs::write(&path, "precious").unwrap();
    let error = bind(&path).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_successor_keeps_its_file_when_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let first = bind(&path).unwrap();
    // The second file exists before the first is gone: an inode is not used twice.
    let second = dir.path().join("t");
    let successor = StdListener::bind(&second).unwrap();
    std::fs::rename(&second, &path).unwrap();
    drop(first);
    assert!(path.exists());
    drop(successor);
}

#[tokio::test]
async fn the_kernel_says_who_connects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = bind(&path).unwrap();
    let _client = StdStream::connect(&path).unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    let owner = std::fs::metadata(&path).unwrap().uid();
    let process = i32::try_from(std::process::id()).unwrap();
    let expected = PeerAddress::Unix {
        user: owner,
        process: Some(process),
    };
    assert_eq!(peer, expected);
    assert_eq!(peer.origin(), Origin::User(owner));
    assert_eq!(peer.to_string(), format!("unix:uid={owner},pid={process}"));
}
