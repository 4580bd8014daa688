use super::*;

#[test]
fn the_address_is_found_in_a_ready_line() {
    let line = "kvd ready listen=127.0.0.1:41,[::1]:42 http=off data_dir=/d keys=0\n";
    let address = listen_address(line, "kvd ready ").unwrap();
    assert_eq!(address, "127.0.0.1:41".parse().unwrap());
    for bad in [
        "",
        "kvd ready http=off",
        "kvd ready listen=unix:/s",
        "ready listen=1.1.1.1:1",
    ] {
        let error = listen_address(bad, "kvd ready ").unwrap_err().to_string();
        assert!(error.contains("expected `kvd ready listen="), "{error}");
    }
}

#[test]
fn a_server_that_ends_or_says_nonsense_is_reported_with_its_log() {
    let root = tempfile::tempdir().unwrap();
    let launcher = Launcher {
        kvd: "/bin/false".into(),
        data_root: root.path().join("data"),
        runtimes: 1,
    };
    let error = launcher.kvd("always").err().unwrap().to_string();
    assert!(
        error.contains("kvd did not start: it ended before"),
        "{error}"
    );
    let args = vec!["-c".into(), "echo why >&2; echo starting".into()];
    let shell = Path::new("/bin/sh");
    let home = launcher.home("floor").unwrap();
    let started = start(&home, "floor", shell, args, "floor ready ", Stdio::piped());
    drop(home);
    let error = started.err().unwrap().to_string();
    assert!(
        error.contains("got: starting") && error.contains("why"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(root.path().join("data")).unwrap().count(),
        0,
        "left behind"
    );
}

#[test]
fn a_binary_that_is_not_there_is_refused_by_its_path() {
    let error = kvd_binary(Some("/no/such/kvd".into()), "release")
        .unwrap_err()
        .to_string();
    assert_eq!(error, "--kvd /no/such/kvd: there is no such file");
}
