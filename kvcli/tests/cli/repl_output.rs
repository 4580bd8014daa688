//! What a session at a terminal prints: narrow tables, the pager, colours, a closed end.

use crate::{
    repl::{start, state},
    run::filled,
    terminal::{Start, Terminal},
};

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
