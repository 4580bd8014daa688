//! `watch` at the prompt: it ends with Ctrl-C and says how to go on, the session does not.

use kvproto::v1::{self, watch_start::Start as From};

use crate::{
    commands::examples,
    fake::Fake,
    repl::{start, state},
    run::filled,
    terminal::Terminal,
    watch::{created, events, set, start as begins},
};

#[test]
fn changes_are_shown_until_ctrl_c_which_says_how_to_go_on() {
    let (fake, state) = (filled(&["k"]), state());
    // The stream breaks behind revision 2, and once more within revision 4.
    fake.watch_script(vec![
        created(2),
        events(2, vec![set("user/a", "first", 2)], false),
    ]);
    fake.watch_script(vec![
        created(3),
        events(3, vec![set("user/b", "second", 3)], false),
        events(4, vec![set("user/c", "half", 4)], true),
    ]);
    fake.watch_script(vec![created(4)]);
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.line("watch --prefix user/ --previous");
    terminal.expect("│ 2        ┆ SET  ┆ WRITTEN ┆ user/a ┆ first");
    terminal.expect("going on behind revision 2");
    terminal.expect("│ 3        ┆ SET  ┆ WRITTEN ┆ user/b ┆ second");
    terminal.expect("going on behind revision 3");
    crate::run::until("it watches again", || fake.watches().len() == 3);
    terminal.send([3]);
    // The base64 of p3.
    terminal.expect("interrupted: revision 3 was the last; go on with --position cDM=");
    let half = terminal.prompt();
    assert!(!half.contains("half"), "{half}");
    fake.watch_script(vec![
        created(4),
        events(
            4,
            vec![set("user/c", "third", 4), set("user/d", "over", 4)],
            false,
        ),
    ]);
    let shown = terminal.answer("watch --prefix user/ --position cDM= --limit 1");
    assert!(
        shown.contains("third") && !shown.contains("over"),
        "{shown}"
    );
    // The session goes on, and so does its connection.
    let shown = terminal.answer("get k");
    assert!(shown.contains("vk"), "{shown}");
    let watches = fake.watches();
    assert!(watches[0].previous_values);
    let starts: Vec<From> = watches.iter().map(begins).collect();
    let behind = |text: &'static str| From::Position(text.into());
    assert_eq!(
        starts,
        [
            From::Now(v1::StartNow {}),
            behind("p2"),
            behind("p3"),
            behind("p3")
        ]
    );
    terminal.end(0);
}

#[test]
fn the_output_is_that_of_the_session() {
    for (format, wanted) in [
        ("raw", "SET\ta\t1\nDELETE\tb\n".replace('\t', " ")),
        ("jsonl", "\"key\":\"a\",\"value\":\"1\"".to_owned()),
        ("csv", "2,SET,WRITTEN,a,1,1\n".to_owned()),
    ] {
        let (fake, state) = (filled(&["k"]), state());
        let gone = v1::Event {
            r#type: v1::EventType::Delete.into(),
            cause: v1::EventCause::Deleted.into(),
            ..set("b", "", 3)
        };
        fake.watch_script(vec![
            created(2),
            events(2, vec![set("a", "1", 2)], false),
            events(3, vec![gone], false),
        ]);
        let mut with = start(&fake, &state);
        with.args = format!("{} -o {format}", with.args);
        let Some(mut terminal) = Terminal::start(&with) else {
            return;
        };
        terminal.prompt();
        let shown = terminal.answer("watch --limit 2");
        let shown = shown.replace('\t', " ");
        assert!(shown.contains(&wanted), "{format}: {shown}");
        terminal.end(0);
    }
}

#[test]
fn an_interrupted_list_is_closed_before_the_next_command() {
    let (fake, state) = (filled(&["k"]), state());
    fake.watch_script(vec![created(2), events(2, vec![set("a", "1", 2)], false)]);
    let mut with = start(&fake, &state);
    with.args += " -o json";
    let Some(mut terminal) = Terminal::start(&with) else {
        return;
    };
    terminal.prompt();
    terminal.line("watch");
    let mut list = terminal.expect("\"version\": 1");
    let open = list.find("{\n").expect("an object");
    list.drain(..open);
    terminal.send([3]);
    list += "\"version\": 1";
    list += &terminal.expect("kvcli: interrupted");
    // The terminal itself shows the key that was pressed.
    let list = list.replace("^C", "");
    let whole: serde_json::Value = serde_json::from_str(&list).expect("an object");
    assert_eq!(whole["records"][0]["key"], "a", "{whole}");
    terminal.prompt();
    // One that has shown nothing leaves nothing to close.
    fake.watch_script(vec![created(9)]);
    terminal.line("watch b");
    crate::run::until("it watches", || fake.watches().len() == 2);
    terminal.send([3]);
    terminal.expect("interrupted");
    terminal.prompt();
    let shown = terminal.answer("get k");
    let whole: serde_json::Value = serde_json::from_str(&shown).expect("an object");
    assert_eq!(whole["value"], "vk", "{whole}");
    terminal.end(0);
}

#[test]
fn a_watch_that_saw_nothing_goes_on_from_its_first_revision() {
    let (fake, state) = (Fake::start(), state());
    fake.watch_script(vec![created(7)]);
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    terminal.line("watch a");
    crate::run::until("it watches", || fake.watches().len() == 1);
    // What was sent has to arrive before the watch is ended.
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.send([3]);
    terminal.expect("interrupted: go on with --from 7");
    terminal.prompt();
    terminal.end(0);
}

#[test]
fn a_command_for_each_change_runs_before_the_prompt_is_there() {
    let (fake, state) = (Fake::start(), state());
    fake.watch_script(vec![
        created(2),
        events(2, vec![set("a", "1", 2)], false),
        events(3, vec![set("b", "1", 3)], false),
    ]);
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    // The second is deaf to Ctrl-C: it is waited for.
    terminal.line(
        "watch --exec 'trap \"\" INT; echo \"begun $KVD_KEY\"; \
         test \"$KVD_KEY\" = a || { sleep 1; echo \"end of $KVD_KEY\"; }'",
    );
    terminal.expect("begun a");
    terminal.expect("begun b");
    terminal.send([3]);
    terminal.expect("end of b");
    terminal.expect("interrupted: revision 2 was the last; go on with --position cDI=");
    terminal.prompt();
    terminal.end(0);
}

#[test]
fn mistakes_and_refusals_end_the_line() {
    let (fake, state) = (Fake::start(), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    for (line, part) in [
        ("watch a b", "unexpected argument 'b'"),
        ("watch --from 0", "0 is not in 1.."),
        ("watch 'a' --min-position AAAA", "are for reads"),
        ("watch --request-id x", "for writes"),
        ("\\watch 1 watch a", "goes on by itself"),
    ] {
        let shown = terminal.answer(line);
        assert!(shown.contains(part), "{line}: {shown}");
    }
    for line in ["txn", "then"] {
        terminal.line(line);
    }
    terminal.line("watch a");
    let shown = terminal.answer("end");
    assert!(shown.contains("unrecognized subcommand 'watch'"), "{shown}");
    assert!(fake.watches().is_empty(), "nothing was sent");
    terminal.end(0);
}

#[test]
fn options_and_keys_are_completed_and_every_example_runs() {
    let (fake, state) = (filled(&["user/anna", "user/bert"]), state());
    let Some(mut terminal) = Terminal::start(&start(&fake, &state)) else {
        return;
    };
    terminal.prompt();
    for (typed, completed) in [
        ("wat\t", "watch"),
        ("watch us\t", "watch user/"),
        ("watch --prefix us\t", "watch --prefix user/"),
        ("watch --curr\t", "watch --current-state"),
        ("watch --exclude-cause exp\t", "--exclude-cause expir"),
        ("watch --on-compacted r\t", "--on-compacted resync"),
        ("watch ", "watch [KEY] [OPTIONS]"),
        ("watch --exec ", "watch --exec COMMAND"),
    ] {
        terminal.send(typed);
        terminal.expect(completed);
        terminal.send([3]);
        terminal.prompt();
    }
    let shown = terminal.answer("help");
    assert!(shown.contains("watch "), "{shown}");
    let help = terminal.answer("help watch");
    let lines = examples("watch");
    assert!(lines.lines().count() >= 4, "{lines}");
    for line in lines.lines() {
        assert!(help.contains(line), "{line}: {help}");
        fake.watch_script(vec![
            created(2),
            events(2, vec![set("job/1", "shown", 2)], false),
        ]);
        terminal.line(line);
        terminal.expect(if line.contains("--exec") {
            "SET job/1"
        } else {
            "shown"
        });
        terminal.send([3]);
        terminal.expect("interrupted");
        terminal.prompt();
    }
    terminal.end(0);
}
