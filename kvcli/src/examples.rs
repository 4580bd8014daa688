//! Examples of every command: in `--help`, in the man pages and at the prompt.
//!
//! They are written as lines of a script, which is also how the prompt reads
//! them; `watch` is for the prompt alone. A test runs all of them in the order of this list,
//! on one store.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::args::Cli;

/// Lines, and what they do. A transaction has several lines.
pub(crate) type Example = (&'static str, &'static str);

/// The examples of a command.
pub(crate) fn of(command: &str) -> &'static [Example] {
    LIST.iter()
        .find(|(name, _)| *name == command)
        .map_or(&[], |(_, examples)| examples)
}

/// All commands in the order in which their examples build on each other.
pub(crate) const LIST: &[(&str, &[Example])] = &[
    (
        "set",
        &[
            ("set greeting 'hello, world'", "a value with a blank"),
            ("set session/7 anna --ttl 30m", "gone after half an hour"),
            ("set leader me --if-absent", "only if nobody else is there"),
            ("set bytes \"\\x00\\xff\\n\"", "any bytes"),
        ],
    ),
    (
        "get",
        &[
            ("get greeting", "the value of a key"),
            (
                "get greeting --read-level latest",
                "also what is not on disk yet",
            ),
        ],
    ),
    ("mget", &[("mget greeting leader", "both from one moment")]),
    (
        "incr",
        &[
            ("incr visits", "1, 2, 3 …"),
            (
                "incr stock --by -2 --min 0 --initial 10",
                "never below zero",
            ),
        ],
    ),
    (
        "expire",
        &[
            ("expire greeting 10m", "ten minutes from now"),
            ("expire greeting --persist", "for ever after all"),
        ],
    ),
    ("ttl", &[("ttl session/7", "what is left, in ms")]),
    (
        "scan",
        &[
            ("scan session/", "all records that begin so"),
            (
                "scan --keys-only --reverse --limit 3",
                "the last three keys",
            ),
            ("scan --start a --end m", "from a to before m"),
        ],
    ),
    ("count", &[("count session/", "how many begin so")]),
    (
        "config",
        &[
            ("config log.", "settings that begin so"),
            ("config --set", "those that are not as they come"),
        ],
    ),
    ("reload", &[("reload", "after its file was changed")]),
    (
        "snapshot",
        &[("snapshot", "the log before it is not needed for a start")],
    ),
    (
        "hash",
        &[("hash", "equal on two servers that hold the same")],
    ),
    (
        "txn",
        &[(
            "txn\nif leader value = me\nthen\nset leader you\nincr handovers\nelse\nget leader\nend",
            "hand over, or look who has it",
        )],
    ),
    (
        "del",
        &[
            ("del greeting", "one key"),
            ("del leader --if-value you", "only while it holds this"),
        ],
    ),
    (
        "rm",
        &[
            ("rm --prefix session/ --dry-run", "how many would go"),
            ("rm --prefix session/ --yes", "without a question"),
        ],
    ),
    ("status", &[("status", "state, keys, memory, log")]),
    (
        "watch",
        &[
            ("watch --prefix session/", "what changes from now on"),
            (
                "watch leader --current-state --previous",
                "what is, then what comes, and what was",
            ),
            (
                "watch --from 2 --limit 10",
                "ten changes from revision 2 on",
            ),
            (
                "watch --prefix job/ --exec 'echo \"$KVD_TYPE $KVD_KEY\"'",
                "a command for each",
            ),
        ],
    ),
];

/// The examples of a command as text.
pub(crate) fn text(command: &str) -> String {
    let mut out = String::new();
    for (lines, what) in of(command) {
        for (at, line) in lines.lines().enumerate() {
            // Writing to a string does not fail.
            let _ = match at {
                0 => writeln!(out, "  {line:<43}  {what}"),
                _ => writeln!(out, "  {line}"),
            };
        }
    }
    out
}

/// The command line, with its examples.
pub(crate) fn attached() -> clap::Command {
    let mut command = Cli::command();
    for (name, _) in LIST {
        let examples = text(name);
        // The watch alone is no line of a script.
        let place = if *name == "watch" {
            "session"
        } else {
            "script"
        };
        let help = format!("Examples, as lines of a {place}:\n{}", examples.trim_end());
        command = command.mut_subcommand(name, |sub| sub.after_help(help));
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    use super::*;
    use crate::command::PromptCommand;

    #[test]
    fn every_command_has_examples() {
        let commands = PromptCommand::augment_subcommands(clap::Command::new("kvcli"));
        for command in commands.get_subcommands() {
            assert!(!of(command.get_name()).is_empty(), "{}", command.get_name());
        }
        assert_eq!(commands.get_subcommands().count(), LIST.len());
    }

    #[test]
    fn help_of_a_command_has_them() {
        let help = attached()
            .try_get_matches_from(["kvcli", "incr", "--help"])
            .expect_err("help");
        assert!(help.to_string().contains("incr stock --by -2"), "{help}");
    }
}
