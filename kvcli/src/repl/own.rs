//! What the prompt understands beside the commands: help, repeating, leaving.

use std::{fmt::Write as _, time::Duration};

use clap::CommandFactory as _;

use super::vocabulary::Vocabulary;
use crate::{
    args::PromptLine,
    examples,
    output::paint::{Kind, Paint},
    script::parse::fields,
    settings::parse_duration,
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3_600);

/// A line for the prompt itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Own<'a> {
    Help(Option<String>),
    Quit,
    /// Shows changes as they come: the whole line.
    Changes(&'a str),
    /// Runs a line again and again.
    Watch {
        pause: Duration,
        line: &'a str,
    },
}

/// Reads a line; none if it is a command for the server.
pub(super) fn parse(line: &str) -> Option<Result<Own<'_>, String>> {
    let text = line.trim_matches([' ', '\t']);
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let rest = rest.trim_start_matches([' ', '\t']);
    let alone = |own| {
        if rest.is_empty() {
            Ok(own)
        } else {
            Err(format!("{first} stands alone on its line"))
        }
    };
    Some(match first {
        "help" | "\\help" | "\\?" => topic(rest),
        "quit" | "exit" | "\\q" => alone(Own::Quit),
        "\\watch" => watch(rest),
        "watch" => Ok(Own::Changes(text)),
        "acknowledge-repair" | "backup" | "bench" | "top" | "verify" | "completions" | "man" => {
            Err(format!("{first} runs from the shell: kvcli {first}"))
        }
        _ if first.starts_with('\\') => Err(format!(
            "there is no {first} here; help lists what there is"
        )),
        _ => return None,
    })
}

fn topic(rest: &str) -> Result<Own<'_>, String> {
    let fields = fields(rest.as_bytes()).map_err(|error| error.to_string())?;
    match &fields[..] {
        [] => Ok(Own::Help(None)),
        [topic] => Ok(Own::Help(Some(
            String::from_utf8_lossy(&topic.bytes).into_owned(),
        ))),
        _ => Err("help takes one command, as in: help set".to_owned()),
    }
}

fn watch(rest: &str) -> Result<Own<'_>, String> {
    const USAGE: &str = "write \\watch SECONDS COMMAND, as in: \\watch 2 get visits";
    let (pause, line) = rest.split_once([' ', '\t']).ok_or(USAGE)?;
    let line = line.trim_start_matches([' ', '\t']);
    if line.is_empty() {
        return Err(USAGE.to_owned());
    }
    if line.starts_with('\\') {
        return Err("\\watch repeats a command, not what the prompt itself does".to_owned());
    }
    if line.split([' ', '\t']).next() == Some("watch") {
        return Err("watch goes on by itself: write it without \\watch".to_owned());
    }
    // A bare number is refused elsewhere; here its unit is in the usage.
    let pause = match pause.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("{pause} is no time to wait; {USAGE}"))?,
        Err(_) => parse_duration(pause).map_err(|error| format!("{pause}: {error}; {USAGE}"))?,
    };
    if !(SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&pause) {
        return Err(format!("{pause:?} is not between 0.1 s and 24 h"));
    }
    Ok(Own::Watch { pause, line })
}

/// What `help` shows.
pub(super) fn help(
    vocabulary: &Vocabulary,
    topic: Option<&str>,
    paint: Paint,
) -> Result<String, String> {
    match topic {
        None => Ok(overview(vocabulary, paint)),
        Some("\\watch") => Ok("\
\\watch SECONDS COMMAND

Runs a command again and again until Ctrl-C. A command that would ask first is
not repeated.

Examples:
  \\watch 2 get visits
  \\watch 500ms count session/
"
        .to_owned()),
        Some(name) => command_help(name, paint).ok_or_else(|| {
            let shown = crate::text::show(name.as_bytes());
            format!("there is no command {shown}; help lists the commands")
        }),
    }
}

fn overview(vocabulary: &Vocabulary, paint: Paint) -> String {
    let mut out = String::new();
    let own = [
        ("help [COMMAND]", "This list, or a command with examples"),
        ("\\watch SECONDS COMMAND", "Run a command again and again"),
        ("quit", "End, as Ctrl-D does; Ctrl-C clears the line"),
    ];
    let commands = vocabulary
        .all()
        .map(|entry| (entry.name.as_str(), entry.about.as_str()));
    for (name, about) in commands.chain(own) {
        let gap = " ".repeat(23_usize.saturating_sub(name.len()).max(1));
        let name = paint.text(Kind::Heading, name);
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {name}{gap}{about}");
    }
    out + "\nFields: 'literal' or \"escaped: \\\\ \\\" \\n \\r \\t \\xNN\"; a line that begins with \
           # is a comment.\nTab completes commands, options and keys. A line that begins with a \
           blank is not\nkept in the history, and none that looks like a secret is.\n"
}

/// The help that the command line has, without its own name in it.
fn command_help(name: &str, paint: Paint) -> Option<String> {
    let mut line = PromptLine::command().disable_colored_help(true);
    let command = line.find_subcommand_mut(name)?;
    let usage = command.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let usage = usage.strip_prefix("kvcli ").unwrap_or(usage);
    let about = command
        .get_long_about()
        .or(command.get_about())
        .map(ToString::to_string)?;
    let mut out = format!("{}\n\n{about}\n", paint.text(Kind::Heading, usage.trim()));
    let arguments: Vec<_> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help")
        .collect();
    if !arguments.is_empty() {
        out.push('\n');
    }
    for arg in arguments {
        let shown = paint.text(Kind::Name, &arg.to_string());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "  {shown}\n          {help}");
    }
    let _ = write!(out, "\nExamples:\n{}", examples::text(name));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_the_prompt_are_told_from_commands() {
        for line in ["get help", "set quit 1", "", "# help", "helpme"] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse(" help "), Some(Ok(Own::Help(None))));
        assert_eq!(parse("help set"), Some(Ok(Own::Help(Some("set".into())))));
        for line in ["quit", "exit", "\\q"] {
            assert_eq!(parse(line), Some(Ok(Own::Quit)));
        }
        let watch = |ms, line| {
            Some(Ok(Own::Watch {
                pause: Duration::from_millis(ms),
                line,
            }))
        };
        assert_eq!(parse("\\watch 2 get a"), watch(2_000, "get a"));
        assert_eq!(parse("\\watch 0.25  get 'a b'"), watch(250, "get 'a b'"));
        assert_eq!(parse("\\watch 500ms get a"), watch(500, "get a"));
        let changes = " watch --prefix 'a b' ";
        assert_eq!(parse(changes), Some(Ok(Own::Changes(changes.trim()))));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (line, part) in [
            ("\\watch", "\\watch SECONDS COMMAND"),
            ("\\watch 2", "\\watch SECONDS COMMAND"),
            ("\\watch get a", "\\watch SECONDS COMMAND"),
            ("\\watch 0 get a", "0.1 s"),
            ("\\watch -1 get a", "no time"),
            ("\\watch nan get a", "no time"),
            ("\\watch 1e300 get a", "no time"),
            ("\\watch 1e9 get a", "24 h"),
            ("\\watch 1 \\watch 1 get a", "not what the prompt"),
            ("\\watch 1 watch a", "goes on by itself"),
            ("\\frob", "no \\frob"),
            ("quit now", "alone"),
            ("help a b", "one command"),
            ("help 'a", "never closed"),
            ("top", "kvcli top"),
        ] {
            let error = parse(line).expect(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn every_command_has_help_with_examples() {
        let vocabulary = Vocabulary::new();
        let all = help(&vocabulary, None, Paint(false)).expect("an overview");
        for entry in vocabulary.all() {
            assert!(all.contains(&entry.name), "{}", entry.name);
            let text = help(&vocabulary, Some(&entry.name), Paint(false)).expect(&entry.name);
            assert!(text.contains("\nExamples:\n  "), "{text}");
        }
        assert!(help(&vocabulary, Some("frob"), Paint(false)).is_err());
    }
}
