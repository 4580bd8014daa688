//! `kvd config default`, `check` and `show`.

use std::process::ExitCode;

use serde_json::{Value as Json, json};

use super::say;
use crate::args::{ConfigCommand, Form, SampleForm};
use crate::backend::embedded::Embedded;
use crate::config::{ConfigError, Loaded, Sources, document};
use crate::exit::{Exit, Failure};

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Default { output } => {
            match output {
                SampleForm::Toml => say(document::sample(&[]).trim_end()),
                SampleForm::Markdown => say(document::page().trim_end()),
                SampleForm::Json => say_json(&document::table()),
            }
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Show { serve, output } => {
            let loaded = usable(&serve.sources())?;
            match output {
                Form::Text => say(document::values(&loaded).trim_end()),
                Form::Json => say_json(&document::values_json(&loaded)),
            }
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Check {
            file,
            serve,
            output,
        } => {
            let mut sources = serve.sources();
            if let Some(file) = file {
                sources.file = Some(file.clone());
            }
            check(&sources, *output)
        }
    }
}

/// Loads what the sources say, and asks the engine whether it can work with that.
fn usable(sources: &Sources) -> Result<Loaded, ConfigError> {
    let loaded = sources.load()?;
    Embedded::check(&loaded.config.settings).map_err(|f| ConfigError::general(f.message))?;
    Ok(loaded)
}

fn check(sources: &Sources, output: Form) -> Result<ExitCode, Failure> {
    let checked = usable(sources).and_then(|loaded| {
        check_profiles(sources, &loaded)?;
        Ok(loaded)
    });
    match (&checked, output) {
        (_, Form::Json) => say_json(&verdict(&checked)),
        (Ok(loaded), Form::Text) => {
            for warning in &loaded.warnings {
                say(&format!("warning: {warning}"));
            }
            let name = sources.file.as_ref().map_or_else(
                || "the configuration".to_owned(),
                |f| f.display().to_string(),
            );
            say(&format!("{name} is in order"));
        }
        (Err(_), Form::Text) => {}
    }
    match (checked, output) {
        (Ok(_), _) => Ok(ExitCode::SUCCESS),
        (Err(_), Form::Json) => Ok(Exit::Config.into()),
        (Err(error), Form::Text) => Err(error.into()),
    }
}

/// If none was chosen, every profile of the file has to work as well.
fn check_profiles(sources: &Sources, loaded: &Loaded) -> Result<(), ConfigError> {
    if loaded.profile.is_some() {
        return Ok(());
    }
    let mut problems = Vec::new();
    for name in &loaded.profiles {
        let with = Sources {
            profile: Some(name.clone()),
            ..sources.clone()
        };
        if let Err(ConfigError(found)) = usable(&with) {
            problems.extend(found.into_iter().map(|mut problem| {
                problem.what = format!("with profile {name}: {}", problem.what);
                problem
            }));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError(problems))
    }
}

fn verdict(checked: &Result<Loaded, ConfigError>) -> Json {
    match checked {
        Ok(loaded) => json!({
            "ok": true, "problems": [], "warnings": loaded.warnings, "profiles": loaded.profiles,
        }),
        Err(ConfigError(problems)) => {
            let problems: Vec<Json> = problems
                .iter()
                .map(|problem| {
                    json!({
                        "key": (!problem.key.is_empty()).then_some(&problem.key),
                        "origin": document::origin(&problem.origin),
                        "message": problem.what,
                    })
                })
                .collect();
            json!({ "ok": false, "problems": problems })
        }
    }
}

fn say_json(json: &Json) {
    say(&format!("{json:#}"));
}
