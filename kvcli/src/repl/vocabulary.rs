//! What the prompt knows of the commands, read from the same definitions that
//! read the line when it is run.

use clap::{Arg, ArgAction, CommandFactory as _};

use crate::args::PromptLine;

/// Words that begin a line inside a transaction beside the commands.
pub(super) const BLOCK_WORDS: &[&str] = &["if", "then", "else", "end"];
/// What the prompt itself understands.
pub(super) const OWN_WORDS: &[&str] = &["help", "quit", "\\watch"];

/// A command as the prompt needs it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) options: Vec<Opt>,
}

/// Something that stands without a name.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: String,
    /// As a hint shows it.
    pub(super) shown: String,
    pub(super) repeated: bool,
}

/// Something that stands behind its name.
#[derive(Debug)]
pub(super) struct Opt {
    /// With its dashes.
    pub(super) long: String,
    pub(super) short: Option<String>,
    /// The name of its value, if it takes one.
    pub(super) value: Option<String>,
    /// All values there are, if they are few.
    pub(super) values: Vec<String>,
}

impl Entry {
    pub(super) fn option(&self, word: &str) -> Option<&Opt> {
        self.options
            .iter()
            .find(|option| option.long == word || option.short.as_deref() == Some(word))
    }
}

/// All commands.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<Entry>);

impl Vocabulary {
    pub(super) fn new() -> Self {
        let mut line = PromptLine::command();
        line.build();
        Self(line.get_subcommands().map(entry).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name == name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }
}

fn entry(command: &clap::Command) -> Entry {
    Entry {
        name: command.get_name().to_owned(),
        about: command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default(),
        arguments: command.get_positionals().map(argument).collect(),
        options: command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set() && arg.get_id() != "help")
            .filter_map(option)
            .collect(),
    }
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().and_then(<[_]>::first);
    names.map_or_else(
        || arg.get_id().to_string().to_uppercase(),
        ToString::to_string,
    )
}

fn argument(arg: &Arg) -> Argument {
    let name = value_name(arg);
    let repeated = arg
        .get_num_args()
        .is_some_and(|range| range.max_values() > 1)
        || matches!(arg.get_action(), ArgAction::Append);
    let dots = if repeated { "…" } else { "" };
    let shown = if arg.is_required_set() {
        format!("{name}{dots}")
    } else {
        format!("[{name}{dots}]")
    };
    Argument {
        name,
        shown,
        repeated,
    }
}

fn option(arg: &Arg) -> Option<Opt> {
    let long = format!("--{}", arg.get_long()?);
    Some(Opt {
        long,
        short: arg.get_short().map(|short| format!("-{short}")),
        value: arg.get_action().takes_values().then(|| value_name(arg)),
        values: arg
            .get_possible_values()
            .iter()
            .filter(|_| arg.get_action().takes_values())
            .map(|value| value.get_name().to_owned())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_arguments_and_options() {
        let vocabulary = Vocabulary::new();
        let set = vocabulary.get("set").expect("set");
        assert_eq!(set.arguments[0].shown, "KEY");
        assert_eq!(set.arguments[1].shown, "[VALUE]");
        let ttl = set.option("--ttl").expect("--ttl");
        assert_eq!(ttl.value.as_deref(), Some("DURATION"));
        let previous = set.option("--previous").expect("--previous");
        assert!(previous.value.is_none() && previous.values.is_empty());
        let level = set.option("--durability").expect("a common option");
        assert_eq!(level.values, ["none", "logged", "synced"]);
        assert!(vocabulary.get("mget").expect("mget").arguments[0].repeated);
        let watch = vocabulary.get("watch").expect("watch");
        assert_eq!(watch.arguments[0].shown, "[KEY]");
        let types = watch.option("--exclude-type").expect("an option");
        assert_eq!(types.values, ["set", "delete"]);
        assert!(vocabulary.get("rm").expect("rm").option("-y").is_some());
    }
}
