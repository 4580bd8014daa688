//! The table of settings as text: a commented sample, a page of documentation, JSON;
//! and the values of one configuration with where each came from.
//!
//! Everything here comes out of [`TABLE`], so none of it can say anything else than
//! the program does.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::load::variable;
use super::{Change, Config, Loaded, Origin, Setting, TABLE};

/// A file with every setting in it, commented out with its default, but for those in
/// `set`, which have a value.
pub fn sample(set: &[(&str, &str)]) -> String {
    let mut text = String::from(
        "# Settings of kvd, each with its default. Take away the # to change one. Sizes and\n\
         # times need their unit, and an unknown name is refused: kvd config check FILE says\n\
         # what is wrong, kvd config show --config FILE which value comes from where.\n\
         #\n\
         # What stands again below [profile.NAME.SECTION] counts when --profile NAME or\n\
         # KVD_PROFILE=NAME chooses it.\n",
    );
    let mut section = "";
    for row in TABLE {
        let (now, name) = row.key.split_once('.').unwrap_or(("", row.key));
        if now != section {
            let _ = write!(text, "\n[{now}]\n");
            section = now;
        }
        for line in wrapped(row.doc, 86) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "# {}.", facts(row));
        match set.iter().find(|(key, _)| *key == row.key) {
            Some((_, value)) => {
                let _ = writeln!(text, "{name} = {}", literal(value));
            }
            None => {
                let _ = writeln!(text, "#{name} = {}", literal(row.default));
            }
        }
    }
    text
}

/// How it is written, its range, and when a change takes effect.
fn facts(row: &Setting) -> String {
    let mut facts = capitalised(row.unit);
    if let Some((low, high)) = row.range {
        let _ = write!(facts, ", {low} to {high}");
    }
    let when = match row.change {
        Change::Live => "a reload changes it",
        Change::Restart => "needs a restart",
    };
    let _ = write!(facts, "; {when}");
    facts
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A value as TOML: numbers and truth values bare, everything else quoted, a whole number
/// that begins with zeros too.
fn literal(value: &str) -> String {
    let bare = value
        .parse::<u64>()
        .is_ok_and(|number| number.to_string() == value)
        || value.parse::<bool>().is_ok()
        || value
            .split_once('.')
            .is_some_and(|(whole, _)| whole == "0" && value.parse::<f64>().is_ok());
    if bare {
        value.to_owned()
    } else {
        toml::Value::String(value.to_owned()).to_string()
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// What the page says in front of the table.
const PAGE_HEAD: &str = "\
# Configuration

Written by `kvd config default -o markdown`; a test compares. Do not edit by hand.

A value comes from, each over the one before:

1. the default in this table;
2. the common part of the TOML file of `--config`;
3. the part `[profile.NAME]` of that file, if `--profile NAME` or `KVD_PROFILE=NAME` chooses it;
4. the environment: `log.sync` is `KVD_LOG__SYNC`;
5. flags: `--set log.sync=always`, or the flag of its own that some have (`kvd --help`).

A size or a time needs its unit. An unknown name in the file or in a flag is refused, an unknown `KVD_` variable is
warned about. There are no secrets among the settings.

| command | what it does |
| --- | --- |
| `kvd config default` | prints a commented sample of the file (`-o json`, `-o markdown`: the table) |
| `kvd config check FILE` | names everything that is wrong, with file, line and column; tries every profile of the file. Exit 0, or 78 |
| `kvd config show` | takes the flags of `kvd serve` and prints every value and where it came from |
| `kvcli config` | the same of a server that runs: what is in force |

## Profiles

The same sections again, over the common part:

```toml
[log]
segment_bytes = \"64MiB\"

[profile.dev.log]
sync = \"interval:100ms\"

[profile.prod.memory]
max_bytes = \"12GiB\"
```

## Reload

On SIGHUP (`systemctl reload kvd`) and on `kvcli reload` kvd reads all its sources again: the same file, profile,
environment and flags as at its start. If anything is wrong it says what, and goes on exactly as before. Otherwise it takes over what a reload can
change and names in its log what differs and needs a restart. A limit on connections that is lowered closes none; a limit
on memory that is lowered below what is in use refuses writes that grow until enough is deleted.

## Settings
";

/// The page of documentation.
pub fn page() -> String {
    let mut text = PAGE_HEAD.to_owned();
    let mut section = "";
    for row in TABLE {
        let now = row.key.split('.').next().unwrap_or_default();
        if now != section {
            section = now;
            let _ = write!(
                text,
                "\n### {now}\n\n| setting | what it does | written as | default | range | change |\n\
                 | --- | --- | --- | --- | --- | --- |\n"
            );
        }
        let range = row
            .range
            .map_or_else(String::new, |(low, high)| format!("`{low}` to `{high}`"));
        let change = match row.change {
            Change::Live => "reload",
            Change::Restart => "restart",
        };
        let doc: Vec<&str> = row.doc.split_whitespace().collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | `{}` | {range} | {change} |",
            row.key,
            doc.join(" "),
            row.unit,
            row.default
        );
    }
    text
}

/// The table for programs.
pub fn table() -> Json {
    TABLE.iter().map(row).collect()
}

fn row(row: &Setting) -> Json {
    let doc: Vec<&str> = row.doc.split_whitespace().collect();
    json!({
        "key": row.key,
        "doc": doc.join(" "),
        "kind": row.kind,
        "unit": row.unit,
        "default": row.default,
        "range": row.range.map(|(low, high)| json!({ "lowest": low, "highest": high })),
        "change": change(row.change),
        "environment": variable(row.key),
    })
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Live => "reload",
        Change::Restart => "restart",
    }
}

/// The values and their origins, in columns.
pub fn values(loaded: &Loaded) -> String {
    let rows: Vec<_> = loaded.config.entries().collect();
    let key_width = rows.iter().map(|(row, ..)| row.key.len()).max();
    let value_width = rows.iter().map(|(_, value, _)| value.chars().count()).max();
    let (keys, values) = (key_width.unwrap_or(0), value_width.unwrap_or(0).min(40));
    let mut text = String::new();
    for (row, value, origin) in rows {
        let _ = writeln!(text, "{:keys$}  {value:values$}  {origin}", row.key);
    }
    text
}

/// The values and their origins for programs.
pub fn values_json(loaded: &Loaded) -> Json {
    let config: &Config = &loaded.config;
    let settings: Vec<Json> = config
        .entries()
        .map(|(row, value, from)| {
            json!({
                "key": row.key,
                "value": value,
                "origin": origin(from),
                "change": change(row.change),
            })
        })
        .collect();
    json!({ "profile": loaded.profile, "settings": settings, "warnings": loaded.warnings })
}

/// Where something was written, for programs.
pub fn origin(origin: &Origin) -> Json {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File(place) => json!({
            "kind": "file", "file": place.path, "line": place.line, "column": place.column,
        }),
        Origin::Profile { name, place } => json!({
            "kind": "profile", "profile": name,
            "file": place.path, "line": place.line, "column": place.column,
        }),
        Origin::Environment { variable } => json!({ "kind": "environment", "variable": variable }),
        Origin::Flag { flag } => json!({ "kind": "flag", "flag": flag }),
    }
}
