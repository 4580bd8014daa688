//! The TOML file: every leaf as dotted key, text and place; first the common part,
//! then the part of the chosen profile over it.
//!
//! A profile is the same sections again under `[profile.NAME]`. Those that were not
//! chosen are read as well, into nothing: a mistake in them is a mistake now.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Origin, Place, Problem};

/// The section that holds the profiles.
const PROFILE: &str = "profile";
/// A file longer than this is no configuration.
const LONGEST: u64 = 1 << 20;

/// The text of the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let cannot = |what: &dyn std::fmt::Display| {
        ConfigError::general(format!(
            "cannot read {}: {what}; name a TOML file with --config",
            path.display()
        ))
    };
    let metadata = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    // A pipe could be read once, and not again at a reload.
    if !metadata.is_file() {
        return Err(cannot(&"it is not a regular file"));
    }
    let length = metadata.len();
    if length > LONGEST {
        return Err(cannot(&format!(
            "it has {length} bytes, and a configuration has at most {LONGEST}"
        )));
    }
    std::fs::read_to_string(path).map_err(|e| cannot(&e))
}

/// Puts the text of a file into `config`. Returns the profiles that it has.
pub(super) fn apply(
    config: &mut Config,
    path: &Path,
    text: &str,
    profile: Option<&str>,
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut profiles = BTreeSet::new();
    let mut lines = BTreeSet::new();
    for error in &errors {
        let place = place_of(path, text, error.span().map_or(0, |span| span.start));
        // What follows on the same line follows from the first.
        if lines.insert(place.line) {
            problems.push(Problem::new(Origin::File(place), "", error.message()));
        }
    }
    // Behind a mistake in the syntax nothing is certain, not even which keys there are.
    if !errors.is_empty() {
        return profiles;
    }
    let mut walk = Walk {
        config,
        path,
        text,
        profile: None,
        problems,
    };
    let parts = || document.get_ref().iter();
    for (name, value) in parts().filter(|(name, _)| name.get_ref() != PROFILE) {
        walk.entry("", name, value);
    }
    for (name, value) in parts().filter(|(name, _)| name.get_ref() == PROFILE) {
        let DeValue::Table(table) = value.get_ref() else {
            let origin = walk.origin(value.span().start);
            let what = format!(
                "a {} is no profile: write [profile.NAME] and below it the settings",
                value.get_ref().type_str()
            );
            walk.problems
                .push(Problem::new(origin, name.get_ref(), what));
            continue;
        };
        for (name, part) in table {
            profiles.insert(name.get_ref().to_string());
            walk.profile(name, part, profile);
        }
    }
    // Tables come in the order of their names.
    problems.sort_by_key(|problem| {
        let place = problem.origin.place();
        place.map(|place| (place.line, place.column))
    });
    profiles
}

struct Walk<'a> {
    config: &'a mut Config,
    path: &'a Path,
    text: &'a str,
    profile: Option<String>,
    problems: &'a mut Vec<Problem>,
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl Walk<'_> {
    /// One profile: into the configuration if it is the chosen one.
    fn profile(&mut self, name: &Name<'_>, part: &Spanned<DeValue<'_>>, chosen: Option<&str>) {
        let DeValue::Table(table) = part.get_ref() else {
            let origin = self.origin(part.span().start);
            let what = format!(
                "{PROFILE}.{} is a {}, and a profile is a table of settings: write [{PROFILE}.{0}.SECTION]",
                name.get_ref(),
                part.get_ref().type_str()
            );
            self.problems.push(Problem::new(origin, "", what));
            return;
        };
        let mut nowhere = self.config.clone();
        let meant = chosen == Some(name.get_ref().as_ref());
        let mut walk = Walk {
            config: if meant { self.config } else { &mut nowhere },
            path: self.path,
            text: self.text,
            profile: Some(name.get_ref().to_string()),
            problems: self.problems,
        };
        for (name, value) in table {
            walk.entry("", name, value);
        }
    }

    fn entry(&mut self, prefix: &str, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        if let DeValue::Table(inner) = value.get_ref() {
            if super::Setting::position(&key).is_some() {
                let what = "a table is no value for a setting";
                let origin = self.origin(value.span().start);
                self.problems.push(Problem::new(origin, &key, what));
                return;
            }
            for (name, value) in inner {
                self.entry(&key, name, value);
            }
            return;
        }
        let known = super::Setting::position(&key).is_some();
        // A name that does not exist is pointed at itself, a bad value at the value.
        let span = if known { value.span() } else { name.span() };
        let origin = self.origin(span.start);
        let put = leaf_text(value.get_ref())
            .map_err(|what| Problem::new(origin.clone(), &key, what))
            .and_then(|text| self.config.put(&key, &text, origin));
        if let Err(problem) = put {
            self.problems.push(problem);
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let place = place_of(self.path, self.text, offset);
        match &self.profile {
            None => Origin::File(place),
            Some(name) => Origin::Profile {
                name: name.clone(),
                place,
            },
        }
    }
}

/// What the leaf would be called on the command line.
fn leaf_text(leaf: &DeValue<'_>) -> Result<String, String> {
    match leaf {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Array(items) => {
            let texts: Result<Vec<_>, _> = items
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| leaf_text(item.get_ref()))
                .collect();
            Ok(texts?.join(","))
        }
        other => Err(format!("a {} is no value for a setting", other.type_str())),
    }
}

fn place_of(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let last = before.rsplit('\n').next().unwrap_or_default();
    Place {
        path: path.to_owned(),
        line: before.split('\n').count(),
        column: last.chars().count() + 1,
    }
}
