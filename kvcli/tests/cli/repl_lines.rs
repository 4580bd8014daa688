//! The line that is typed at a terminal: its editing, completion and history, and lines that
//! are long or no text.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    fake::Fake,
    repl::{start, state},
    run::{filled, run, until},
    terminal::{Start, Terminal},
};

fn history(state: &Path) -> String {
    fs::read_to_string(state.join("kvcli").join("history")).unwrap_or_default()
}

#[test]
fn ctrl_c_clears_the_line_and_ends_what_waits() {
    let (fake, state) = (filled(&["k"]), state());
    let mut start = start(&fake, &state);
    start.args += " --timeout 60s";
    let Some(mut terminal) = Terminal::start(&start) else {
        return;
    };
    terminal.prompt();
    terminal.send("set k 'never");
    terminal.expect("'never");
    terminal.send([3]);
    terminal.prompt();
    let shown = terminal.answer("get k");
    assert!(shown.contains("vk"), "{shown}");
    terminal.line("\\watch 0.1 count");
    terminal.expect("count");
    terminal.expect("┆");
    terminal.send([3]);
    terminal.prompt();
    fake.mishap("slow", crate::fake::Mishap::Stall);
    terminal.line("set slow 1");
    until("it waits", || terminal.rest().contains("waiting"));
    terminal.send([3]);
    terminal.expect("whether it was applied is not known");
    terminal.prompt();
    terminal.answer("get k");
    terminal.end(0);
}

#[test]
fn tab_completes_commands_options_and_keys() {
    let (fake, state) = (filled(&["user/anna", "user/bert"]), state());
    run(&fake, &["set", "a b", "1"]).exits(0);
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.send("cou\t");
    terminal.expect("count");
    terminal.send([3]);
    terminal.prompt();
    terminal.send("get us\t");
    terminal.expect("get user/");
    terminal.send("a\t");
    terminal.expect("get user/anna");
    terminal.send("\r");
    terminal.expect("vuser/anna");
    terminal.prompt();
    terminal.send("get \"a\t");
    terminal.expect("get \"a b\"");
    terminal.send([3]);
    terminal.prompt();
    terminal.send("set k v --if-abs\t");
    terminal.expect("--if-absent");
    terminal.send([3]);
    terminal.prompt();
    terminal.send("get k --read-level la\t");
    terminal.expect("latest");
    terminal.send([3]);
    terminal.prompt();
    // The arguments are shown while the cursor is before them.
    terminal.send("set ");
    terminal.expect("KEY [VALUE] [OPTIONS]");
    terminal.send([3]);
    terminal.prompt();
    terminal.end(0);
}

#[test]
fn many_keys_are_completed_no_further_than_all_have_in_common() {
    let keys: Vec<String> = (0..150).map(|n| format!("pa{n:03}")).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("pz");
    let (fake, state) = (filled(&keys), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.send("get p\t");
    // The first hundred alone would have been completed to pa0.
    terminal.expect("Display all 101 possibilities");
    terminal.send("n");
    terminal.expect("get p [OPTIONS]");
    terminal.send([3]);
    terminal.prompt();
    terminal.end(0);
}

#[test]
fn the_history_holds_no_secrets_and_is_its_owners() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.answer("set visible 1");
    terminal.answer("set db-password hunter2");
    terminal.answer(" set unseen 2");
    terminal.end(0);
    let kept = history(state.path());
    assert!(kept.contains("set visible 1"), "{kept}");
    assert!(
        !kept.contains("hunter2") && !kept.contains("unseen"),
        "{kept}"
    );
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let dir = state.path().join("kvcli");
    assert_eq!(mode(&dir.join("history")), 0o600);
    assert_eq!(mode(&dir), 0o700);
    // The next session has it.
    let mut terminal = Terminal::start(&start(&fake, &state)).expect("script(1)");
    terminal.prompt();
    terminal.send("\x1b[A");
    terminal.expect("set visible 1");
    terminal.send([3]);
    terminal.prompt();
    terminal.end(0);
}

#[test]
fn lines_of_a_mebibyte() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    let value = "v".repeat(1024 * 1024 - 16);
    // As a paste that says that it is one, and as a program types.
    terminal.send(format!("\x1b[200~set pasted {value}\x1b[201~\r"));
    until("the paste is there", || fake.value(b"pasted").is_some());
    // Between two prompts the system itself keeps no more than 4 KiB of a line.
    terminal.prompt();
    terminal.send(format!("set typed {value}\r"));
    until("what was typed is there", || fake.value(b"typed").is_some());
    terminal.prompt();
    assert_eq!(fake.value(b"pasted").expect("there").len(), value.len());
    assert_eq!(fake.value(b"typed").expect("there").len(), value.len());
    terminal.send("get '");
    terminal.expect("get '");
    terminal.send([3]);
    terminal.prompt();
    terminal.end(0);
    assert!(history(state.path()).len() < 1024);
}

#[test]
fn bytes_that_are_no_text_are_dropped_with_their_line() {
    let (fake, state) = (filled(&["k"]), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    // More than the editor reads ahead, and in it a line that must not be run.
    let rest = format!("{}\rrm --all --yes\r", "x".repeat(3_000));
    terminal.send([b"set k \xff\xfe", rest.as_bytes()].concat());
    terminal.expect("this is no UTF-8");
    terminal.prompt();
    terminal.answer("set b \"\\xff\"");
    assert_eq!(fake.value(b"b").expect("there"), b"\xff"[..]);
    assert_eq!(fake.len(), 2);
    // The rest is no line of its own either.
    let raw = terminal.raw();
    assert!(!raw.contains("unrecognized"), "{}", raw.len());
    terminal.end(0);
}

#[test]
fn input_that_ends_in_a_quote_runs_nothing() {
    let (fake, state) = (Fake::start(), state());
    let dumb = Start {
        environment: &[("TERM", "dumb")],
        ..start(&fake, &state)
    };
    let Some(mut terminal) = Terminal::start(&dumb) else {
        return;
    };
    terminal.prompt();
    terminal.send("set k 'v\n");
    terminal.send([4]);
    terminal.expect("ended inside a quote: nothing of it was run");
    terminal.expect("exit 2");
    assert_eq!(fake.len(), 0);
}
