//! Puts the sources together: file, then environment, then flags, each over the
//! one before.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Config, ConfigError, Origin, Setting, TABLE, file, nearest, validate};

/// What the process was given.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
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
}

impl Sources {
    /// Reads all sources and checks the whole.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut config = Config::default();
        if let Some(path) = &self.file {
            file::apply(&mut config, path)?;
        }
        let warnings = self.apply_environment(&mut config)?;
        self.apply_flags(&mut config)?;
        validate::whole(&config)?;
        Ok(Loaded { config, warnings })
    }

    /// `KVD_LOG__SYNC` is `log.sync`. Unknown names are only warned about: other
    /// programs may use the prefix.
    fn apply_environment(&self, config: &mut Config) -> Result<Vec<String>, ConfigError> {
        let mut warnings = Vec::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with("KVD_")) else {
                continue;
            };
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
            let text = value.to_str().ok_or_else(|| {
                ConfigError(format!("{origin}: {}: the value is not UTF-8", row.key))
            })?;
            config.set(row.key, text, origin)?;
        }
        Ok(warnings)
    }

    /// A key given by two flags is refused: which one was meant is anybody's guess.
    fn apply_flags(&self, config: &mut Config) -> Result<(), ConfigError> {
        for (at, (key, value, flag)) in self.flags.iter().enumerate() {
            let earlier = self.flags[..at].iter().find(|(other, ..)| other == key);
            if let Some((_, _, earlier)) = earlier {
                let known = Setting::position(key).is_some();
                if known {
                    return Err(ConfigError(format!(
                        "{key} is given twice, by {earlier} and by {flag}: give it once"
                    )));
                }
            }
            config.set(key, value, Origin::Flag { flag: flag.clone() })?;
        }
        Ok(())
    }
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("KVD_{}", key.to_uppercase().replace('.', "__"))
}
