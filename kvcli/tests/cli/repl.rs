//! Sessions at a terminal: what is run in them, what is asked first, how they end.

use tempfile::TempDir;

use crate::{
    fake::Fake,
    run::filled,
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
