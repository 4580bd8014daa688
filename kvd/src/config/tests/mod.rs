//! Settings: from where they come, how they are written, what is refused.

mod refused;
mod samples;
mod sources;
mod values;

use std::path::Path;

use super::*;

fn with_flags(flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    with(&[], flags)
}

fn with(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let flags = flags
        .iter()
        .map(|(key, value)| {
            let flag = format!("--set {key}={value}");
            ((*key).to_owned(), (*value).to_owned(), flag)
        })
        .collect();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Sources {
        environment,
        flags,
        ..Sources::default()
    }
    .load()
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    file::apply(
        &mut config,
        Path::new("kvd.toml"),
        text,
        None,
        &mut problems,
    );
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError(problems))
    }
}

/// A file that is really there, and what else there is.
fn with_file(
    text: &str,
    profile: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter();
    Sources {
        file: Some(path.path().to_owned()),
        profile: profile.map(str::to_owned),
        environment: environment
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect(),
        flags: Vec::new(),
    }
    .load()
}
