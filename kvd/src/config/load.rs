//! Puts the sources together: file, its profile, environment, flags, each over the
//! one before.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{Config, ConfigError, Origin, Problem, Setting, TABLE, file, nearest, validate};

/// The environment variable that chooses a profile.
pub const PROFILE_VARIABLE: &str = "KVD_PROFILE";

/// What the process was given.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The profile of `--profile`.
    pub profile: Option<String>,
    /// The whole environment; only names that begin with `KVD_` matter.
    pub environment: Vec<(OsString, OsString)>,
    /// Key, value and the flag as it was written.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration that can be used, and what was odd about its sources.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
    /// The profile that was used.
    pub profile: Option<String>,
    /// The profiles that the file has.
    pub profiles: BTreeSet<String>,
}

impl Sources {
    /// Reads all sources and checks the whole.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut config = Config::default();
        let mut problems = Vec::new();
        let chosen = self.chosen()?;
        let profile = chosen.as_ref().map(|(name, _)| name.as_str());
        let mut profiles = BTreeSet::new();
        if let Some(path) = &self.file {
            let text = file::read(path)?;
            profiles = file::apply(&mut config, path, &text, profile, &mut problems);
        }
        if let Some((name, origin)) = &chosen
            && problems.is_empty()
            && !profiles.contains(name)
        {
            let what = self.no_profile(name, &profiles);
            problems.push(Problem::new(origin.clone(), "", what));
        }
        let warnings = self.apply_environment(&mut config, &mut problems);
        self.apply_flags(&mut config, &mut problems);
        // Whether the values fit together is worth knowing only once each is one.
        if problems.is_empty() {
            validate::whole(&config, &mut problems);
        }
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        Ok(Loaded {
            config,
            warnings,
            profile: chosen.map(|(name, _)| name),
            profiles,
        })
    }

    /// The profile that was asked for, and by what. An empty variable asks for none.
    fn chosen(&self) -> Result<Option<(String, Origin)>, ConfigError> {
        if let Some(name) = &self.profile {
            let flag = format!("--profile {name}");
            return Ok(Some((name.clone(), Origin::Flag { flag })));
        }
        let variable = self
            .environment
            .iter()
            .find(|(name, value)| name == PROFILE_VARIABLE && !value.is_empty());
        let Some((_, value)) = variable else {
            return Ok(None);
        };
        let origin = Origin::Environment {
            variable: PROFILE_VARIABLE.to_owned(),
        };
        match value.to_str() {
            Some(name) => Ok(Some((name.to_owned(), origin))),
            None => Err(Problem::new(origin, "", "the name of a profile is not UTF-8").into()),
        }
    }

    fn no_profile(&self, name: &str, profiles: &BTreeSet<String>) -> String {
        let Some(path) = &self.file else {
            return format!(
                "there is no profile {name:?}, because profiles are in a file and none was \
                 given: name it with --config"
            );
        };
        let there: Vec<&str> = profiles.iter().map(String::as_str).collect();
        let there = if there.is_empty() {
            "no profiles; write [profile.NAME] and below it the settings".to_owned()
        } else {
            there.join(", ")
        };
        format!(
            "there is no profile {name:?}; {} has {there}",
            path.display()
        )
    }

    /// `KVD_LOG__SYNC` is `log.sync`. Unknown names are only warned about: other
    /// programs may use the prefix.
    fn apply_environment(&self, config: &mut Config, problems: &mut Vec<Problem>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("KVD_")) else {
                continue;
            };
            if name == PROFILE_VARIABLE {
                continue;
            }
            let Some(row) = TABLE.iter().find(|row| variable(row.key) == name) else {
                let guess = name["KVD_".len()..].to_lowercase().replace("__", ".");
                warnings.push(format!(
                    "environment variable {name} names no setting and is ignored; the nearest is {}",
                    variable(nearest::key(&guess))
                ));
                continue;
            };
            let origin = Origin::Environment {
                variable: name.to_owned(),
            };
            let put = match value.to_str() {
                Some(text) => config.put(row.key, text, origin),
                None => Err(Problem::new(origin, row.key, "the value is not UTF-8")),
            };
            problems.extend(put.err());
        }
        warnings
    }

    /// A key given by two flags is refused: which one was meant is anybody's guess.
    fn apply_flags(&self, config: &mut Config, problems: &mut Vec<Problem>) {
        for (at, (key, value, flag)) in self.flags.iter().enumerate() {
            let origin = Origin::Flag { flag: flag.clone() };
            let earlier = self.flags[..at].iter().find(|(other, ..)| other == key);
            if let Some((_, _, earlier)) = earlier
                && Setting::position(key).is_some()
            {
                let what = format!("is given twice, here and by {earlier}: give it once");
                problems.push(Problem::new(origin, key, what));
                continue;
            }
            problems.extend(config.put(key, value, origin).err());
        }
    }
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("KVD_{}", key.to_uppercase().replace('.', "__"))
}
