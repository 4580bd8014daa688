//! Sessions at a terminal.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use crate::{
    fake::Fake,
    run::{filled, run, until},
    terminal::{Start, Terminal},
};

pub(crate) fn start<'a>(fake: &Fake, state: &'a TempDir) -> Start<'a> {
    Start {
        args: format!("--endpoint {}", fake.endpoint),
        state: state.path(),
        columns: 100,
        environment: &[],
        behind: "",
    }
}

pub(crate) fn state() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn history(state: &Path) -> String {
    fs::read_to_string(state.join("kvcli").join("history")).unwrap_or_default()
}

#[test]
fn commands_run_as_on_the_command_line() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.expect("0 keys");
    terminal.prompt();
    terminal.answer("set greeting 'hello, world' -o raw");
    terminal.answer("set greeting 'hello, world'");
    let shown = terminal.answer("get greeting");
    assert!(shown.contains("│ greeting ┆ true"), "{shown}");
    assert!(shown.contains("hello, world"), "{shown}");
    let shown = terminal.answer("get missing");
    assert!(shown.contains("│ missing ┆ false"), "{shown}");
    let shown = terminal.answer("frob");
    assert!(shown.contains("unrecognized subcommand 'frob'"), "{shown}");
    let shown = terminal.answer("get");
    assert!(shown.contains("<KEY>"), "{shown}");
    let shown = terminal.answer("incr greeting");
    assert!(shown.contains("NOT_AN_INTEGER"), "{shown}");
    let shown = terminal.answer("set k --stdin");
    assert!(shown.contains("--file"), "{shown}");
    assert_eq!(fake.len(), 1);
    terminal.end(0);
}

#[test]
fn lines_and_transactions_of_several_lines() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.send("set k 'one\r");
    terminal.expect("'one");
    terminal.answer("two'");
    let shown = terminal.answer("get k");
    assert!(shown.contains(r#""one\x0atwo""#), "{shown}");
    for line in ["txn", "if k exists", "then", "set k 3"] {
        terminal.line(line);
    }
    let shown = terminal.answer("end");
    assert!(shown.contains("succeeded"), "{shown}");
    let shown = terminal.answer("get k");
    assert!(shown.contains("┆ 3"), "{shown}");
    // A paste with a mistake in the middle.
    terminal.send("\x1b[200~set a 1\nfrob\nset b 2\x1b[201~\r");
    terminal.expect("line 2: unrecognized subcommand 'frob'");
    terminal.expect("no line after it was run");
    terminal.prompt();
    assert_eq!(fake.len(), 2);
    terminal.end(0);
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
fn what_removes_much_is_asked_about() {
    let (fake, state) = (filled(&["a", "ab", "c"]), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.line("rm --prefix a");
    terminal.expect("remove 2 keys that begin with a? [y/N] ");
    terminal.line("n");
    terminal.expect("nothing was removed");
    terminal.prompt();
    terminal.line("rm --all");
    terminal.expect("Type 3 to go on: ");
    terminal.line("y");
    terminal.expect("nothing was removed");
    terminal.prompt();
    for line in ["txn", "then", "rm --prefix c"] {
        terminal.line(line);
    }
    terminal.line("end");
    terminal.expect("this transaction may remove the keys that begin with c. Run it? [y/N] ");
    terminal.send([3]);
    terminal.expect("nothing was removed");
    terminal.prompt();
    let shown = terminal.answer("\\watch 1 rm --prefix a");
    assert!(shown.contains("--yes"), "{shown}");
    assert_eq!(fake.len(), 3);
    terminal.line("rm --prefix a");
    terminal.expect("[y/N] ");
    terminal.line("y");
    terminal.prompt();
    assert_eq!(fake.len(), 1);
    terminal.line("rm --all");
    terminal.expect("Type 1 to go on: ");
    terminal.line("1");
    terminal.prompt();
    assert_eq!(fake.len(), 0);
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
fn a_daemon_that_goes_and_comes_back_is_noticed() {
    let (fake, state) = (filled(&["k"]), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    let place = fake.endpoint.clone();
    drop(fake);
    terminal.expect("is lost; trying again");
    let shown = terminal.answer("get k");
    assert!(shown.contains("unreachable, nothing was sent"), "{shown}");
    let fake = Fake::start_at(&place);
    terminal.expect("connected to");
    terminal.answer("set k again");
    assert_eq!(fake.value(b"k").expect("there"), "again");
    terminal.end(0);
}

#[test]
fn a_narrow_terminal_gets_short_lines() {
    let (fake, state) = (filled(&["k"]), state());
    let narrow = Start {
        columns: 20,
        ..start(&fake, &state)
    };
    let Some(mut terminal) = Terminal::start(&narrow) else {
        return;
    };
    terminal.expect("kvd> ");
    terminal.line("get k");
    let shown = terminal.expect("create_revision 2");
    assert!(shown.contains("value           vk"), "{shown}");
    terminal.prompt();
    // A line of many screens, and its end.
    let value = "x".repeat(300);
    terminal.answer(&format!("set long {value}"));
    terminal.answer("ttl long");
    assert_eq!(fake.len(), 2);
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
fn an_output_that_is_closed_ends_it_quietly() {
    let (fake, state) = (filled(&["k"]), state());
    let piped = Start {
        behind: "| head -n 1",
        ..start(&fake, &state)
    };
    let Some(mut terminal) = Terminal::start(&piped) else {
        return;
    };
    terminal.prompt();
    terminal.line("get k");
    terminal.expect("vk");
    terminal.line("get k");
    terminal.line("get k");
    terminal.expect("exit 0");
    assert!(
        !terminal.raw().contains("Broken pipe"),
        "{}",
        terminal.raw()
    );
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

#[test]
fn long_results_go_through_the_pager() {
    let keys: Vec<String> = (0..60).map(|n| format!("k{n:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (fake, state) = (filled(&keys), state());
    let paged = Start {
        environment: &[("PAGER", "sed 's/^/paged: /'")],
        ..start(&fake, &state)
    };
    let Some(mut terminal) = Terminal::start(&paged) else {
        return;
    };
    terminal.prompt();
    let shown = terminal.answer("scan --limit 3");
    assert!(!shown.contains("paged"), "{shown}");
    let shown = terminal.answer("scan");
    assert!(shown.contains("paged: │ k59"), "{shown}");
    let shown = terminal.answer("help");
    assert!(shown.contains("\\watch"), "{shown}");
    terminal.end(0);
}

#[test]
fn colours_follow_the_flag_and_the_environment() {
    let (fake, state) = (filled(&["k"]), state());
    let yellow = "\x1b[33m";
    for (flag, no_color, coloured) in [
        ("", "", true),
        ("", "1", false),
        ("--color always", "1", true),
        ("--color never", "", false),
    ] {
        let environment = [("NO_COLOR", no_color)];
        let mut start = Start {
            environment: &environment,
            ..start(&fake, &state)
        };
        start.args = format!("{} {flag}", start.args);
        let Some(mut terminal) = Terminal::start(&start) else {
            return;
        };
        terminal.prompt();
        terminal.answer("get k");
        let raw = terminal.raw();
        assert_eq!(raw.contains(yellow), coloured, "{flag} {no_color}: {raw:?}");
        terminal.end(0);
    }
}

#[test]
fn flags_of_scripts_are_refused() {
    let (fake, state) = (Fake::start(), state());
    for flag in ["--retry", "--window 5", "--continue-on-error"] {
        let mut start = start(&fake, &state);
        start.args = format!("{} {flag}", start.args);
        let Some(mut terminal) = Terminal::start(&start) else {
            return;
        };
        terminal.expect("are for scripts");
        terminal.expect("exit 2");
    }
}

#[test]
fn help_and_leaving() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    let shown = terminal.answer("help incr");
    assert!(shown.contains("incr stock --by -2 --min 0"), "{shown}");
    let shown = terminal.answer("help frob");
    assert!(shown.contains("no command frob"), "{shown}");
    let shown = terminal.answer("\\frob");
    assert!(shown.contains("help lists"), "{shown}");
    terminal.line("quit");
    terminal.expect("exit 0");
}
