//! top: a reading printed, and the screen on a terminal.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use crate::{
    fake::Fake,
    run::{filled, run},
    terminal::{Start, Terminal},
};

/// Serves the same page to everybody who asks.
fn metrics(page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let _ = socket.read(&mut [0; 1024]);
            let _ = write!(socket, "HTTP/1.0 200 OK\r\n\r\n{page}");
        }
    };
    thread::Builder::new().spawn(serve).expect("a thread");
    address
}

#[test]
fn one_reading_is_printed_in_every_format() {
    let fake = filled(&["a", "b"]);
    for format in ["table", "json", "jsonl", "raw", "csv"] {
        let args = [
            "-o",
            format,
            "top",
            "--once",
            "--interval",
            "100ms",
            "--metrics=off",
        ];
        let ended = run(&fake, &args).exits(0);
        assert!(ended.text().contains("round trip"), "{}", ended.text());
        ended.says("no figures of calls and log: off");
    }
    // Without a terminal it prints once without being told so.
    let ended = run(&fake, &["top", "--interval", "100ms"]).exits(0);
    assert!(ended.text().contains("keys=2\n"), "{}", ended.text());
    run(&fake, &["top", "--interval", "10ms"])
        .exits(2)
        .says("at least");
}

#[test]
fn figures_of_another_server_are_not_taken() {
    let fake = Fake::start();
    // The fake's clock stands at 0, and so does the start that this page tells.
    let same = metrics(
        "process_start_time_seconds 0.5\nkvd_connections 7\n\
         kvd_requests_total{rpc=\"Get\",code=\"Ok\"} 5\n# EOF\n",
    );
    let args = |at: &str| ["top", "--interval", "100ms", "--metrics", at].map(str::to_owned);
    let ended = run(&fake, &args(&same)).exits(0);
    assert!(ended.text().contains("connections=7\n"), "{}", ended.text());
    assert!(ended.text().contains("Get/s=0\n"), "{}", ended.text());
    let other = metrics("process_start_time_seconds 99.5\nkvd_connections 7\n# EOF\n");
    let ended = run(&fake, &args(&other)).exits(0);
    assert!(ended.text().contains("connections=-\n"), "{}", ended.text());
    ended.says("figures of another server");
    let nonsense = metrics("<html>");
    run(&fake, &args(&nonsense)).exits(0).says("no OpenMetrics");
}

#[test]
fn slow_operations_are_shown_with_the_parts_of_their_time() {
    let fake = Fake::start();
    let ask = |format: &str, more: &[&str]| {
        let mut args = vec!["-o", format, "top", "--once", "--interval", "100ms"];
        args.extend(["--metrics", "off"]);
        args.extend(more);
        run(&fake, &args).exits(0).text().to_owned()
    };
    let raw = ask("raw", &[]);
    assert!(raw.contains("slow from=50.0 ms\n"), "{raw}");
    let set = "slow=Set\tago=1 min\ttook=81.5 ms\tqueue=1.0 ms\tlock=250 us\tappend=20.0 ms\t\
               sync=60.0 ms\trest=250 us\tcode=Ok\n";
    assert!(raw.contains(set), "{raw}");
    let json: serde_json::Value = serde_json::from_str(&ask("json", &[])).expect("an object");
    let slow = json["slow_operations"].as_array().expect("a list");
    assert_eq!((slow.len(), &slow[0]["sync_us"]), (2, &60_000.into()));
    assert_eq!(slow[1]["code"], "Cancelled");
    let table = ask("table", &["--slow", "1"]);
    assert!(
        table.contains("81.5 ms") && !table.contains("Scan"),
        "{table}"
    );
    assert!(!ask("csv", &["--slow", "0"]).contains("81.5"));
    let args = ["top", "--once", "--slow", "129"];
    run(&fake, &args).exits(2).says("129 is not in 0..=128");
    // A server from before them is shown without.
    fake.lacks_slow_operations();
    let raw = ask("raw", &[]);
    assert!(
        raw.contains("slow from=-\n") && !raw.contains("slow=Set"),
        "{raw}"
    );
}

#[test]
fn the_screen_is_drawn_until_q() {
    let state = tempfile::tempdir().expect("a directory");
    let fake = filled(&["a", "b", "c"]);
    for columns in [20, 100] {
        let start = Start {
            args: format!(
                "--endpoint {} top --interval 200ms --metrics=off",
                fake.endpoint
            ),
            state: state.path(),
            columns,
            environment: &[],
            behind: "",
        };
        let Some(mut terminal) = Terminal::start(&start) else {
            return;
        };
        terminal.expect("keys3");
        assert!(
            terminal.raw().contains("\x1b[?1049h"),
            "an alternate screen"
        );
        terminal.send("q");
        terminal.expect("exit 0");
        assert!(
            terminal.raw().contains("\x1b[?1049l"),
            "the screen from before"
        );
    }
}
