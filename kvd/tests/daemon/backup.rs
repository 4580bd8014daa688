//! A backup over the wire, and the store that `kvd restore` makes of it.

use std::fs;
use std::path::Path;

use kvproto::v1::{self, admin_service_client::AdminServiceClient};
use tempfile::TempDir;

use super::support::process::{expect, fill};
use super::support::{Ended, Process, channel, command, run};

/// Takes a backup into a file.
async fn back_up(process: &Process, after: i64, path: &Path) {
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let request = v1::BackupRequest {
        after_revision: after,
        ..v1::BackupRequest::default()
    };
    let mut pieces = admin.backup(request).await.expect("begun").into_inner();
    let mut bytes = Vec::new();
    loop {
        let piece = pieces.message().await.expect("a piece");
        let piece = piece.expect("the last piece says that it is");
        assert!(piece.chunk.len() <= 1 << 20);
        bytes.extend_from_slice(&piece.chunk);
        if piece.last {
            break;
        }
    }
    fs::write(path, bytes).expect("written");
}

/// What the store holds, and its revision.
async fn digest(process: &Process) -> (bytes::Bytes, i64) {
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let all = v1::HashRequest {
        range: Some(v1::KeyRange {
            range: Some(v1::key_range::Range::All(v1::AllKeys {})),
        }),
        ..v1::HashRequest::default()
    };
    let hashed = admin.hash(all).await.expect("hashed").into_inner();
    let header = hashed.header.expect("a header");
    (hashed.hash, header.store_revision)
}

fn restore(root: &Path, files: &[&str], into: &str, more: &[&str]) -> Ended {
    let path = |name: &str| root.join(name).display().to_string();
    let mut arguments = vec!["restore".to_owned(), "--from".to_owned()];
    arguments.extend(files.iter().map(|name| path(name)));
    arguments.extend(["--into".to_owned(), path(into)]);
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(&mut command(&arguments))
}

#[tokio::test]
async fn a_backup_and_its_increment_make_a_store_again() {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    let process = Process::serve(&path("store"));
    fill(&process, 0, 200).await;
    back_up(&process, 0, &path("full")).await;
    let (first, base) = digest(&process).await;
    fill(&process, 200, 10).await;
    back_up(&process, base, &path("increment")).await;
    let (last, _) = digest(&process).await;
    assert_ne!(first, last);
    assert_eq!(process.stop().code, Some(0));

    let base = base.to_string();
    let at = ["--at-revision", &base];
    let tries: [(&str, &[&str], &[&str], u32, _); 3] = [
        ("one", &["full"], &[], 200, &first),
        ("two", &["full", "increment"], &[], 210, &last),
        ("three", &["increment", "full"], &at, 200, &first),
    ];
    for (into, files, more, keys, wanted) in tries {
        let ended = restore(root.path(), files, into, more);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let told = format!("restored {keys} records");
        assert!(ended.stdout.contains(&told), "{ended:?}");
        let again = restore(root.path(), files, into, more);
        expect(into, &again, 78, &["is not empty"]);
        let process = Process::serve(&path(into));
        assert_eq!(&digest(&process).await.0, wanted, "{into}");
        assert_eq!(process.stop().code, Some(0));
    }
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_by_name() {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    let process = Process::serve(&path("store"));
    fill(&process, 0, 3).await;
    back_up(&process, 0, &path("full")).await;
    let mut admin = AdminServiceClient::new(channel(process.address()).await);
    let request = |after_revision| v1::BackupRequest {
        after_revision,
        ..v1::BackupRequest::default()
    };
    for (after, code) in [
        (-1, tonic::Code::InvalidArgument),
        (1 << 40, tonic::Code::OutOfRange),
    ] {
        let refused = match admin.backup(request(after)).await {
            Ok(pieces) => pieces.into_inner().message().await.expect_err("refused"),
            Err(refused) => refused,
        };
        assert_eq!(refused.code(), code, "{refused}");
    }
    drop(admin);
    assert_eq!(process.stop().code, Some(0));
    let whole = fs::read(path("full")).unwrap();
    fs::write(path("cut"), &whole[..whole.len() / 2]).unwrap();
    let ended = restore(root.path(), &["cut"], "new", &[]);
    expect("cut", &ended, 65, &["cut", "nothing was restored"]);
    let ended = restore(root.path(), &["absent"], "new", &[]);
    expect("absent", &ended, 74, &["absent"]);
    let ended = restore(root.path(), &["full"], "new", &["--at-revision", "99"]);
    expect("outside", &ended, 78, &["bring back revisions"]);
    let ended = restore(root.path(), &["full"], "new", &["--at-time", "yesterday"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!path("new").exists());
}
