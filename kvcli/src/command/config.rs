//! `config`: the settings of the server; `reload`: have it read them again.

use kvproto::v1::{self, ConfigOrigin};
use serde_json::{Map, Value, json};

use super::{Ask, Pending as AnyPending, Prepared};
use crate::{
    failure::Exit,
    output::{self, Rows},
    text::show,
};

const HEADER: &[&str] = &["name", "value", "origin", "change"];
const CHANGES_HEADER: &[&str] = &["name", "before", "after", "origin", "takes_effect"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only settings whose name begins so
    name: Option<String>,
    /// Only settings that do not have their default
    #[arg(long)]
    set: bool,
}

#[derive(Debug)]
pub(crate) struct Pending {
    name: String,
    set: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {}

impl Args {
    pub(super) fn prepare(self) -> Prepared {
        let pending = Pending {
            name: self.name.unwrap_or_default(),
            set: self.set,
        };
        let ask = Ask::Config(v1::GetConfigRequest {});
        Prepared::new(ask, AnyPending::Config(pending))
    }
}

impl ReloadArgs {
    #[expect(clippy::unused_self, reason = "the same shape as every other command")]
    pub(super) fn prepare(self) -> Prepared {
        Prepared::new(Ask::Reload(v1::ReloadRequest {}), AnyPending::Reload)
    }
}

impl Pending {
    pub(super) fn read(self, reply: v1::GetConfigResponse) -> Report {
        let wanted = |entry: &v1::ConfigEntry| {
            let default = entry.origin == i32::from(ConfigOrigin::Default);
            entry.name.starts_with(&self.name) && !(self.set && default)
        };
        Report {
            entries: reply.entries.into_iter().filter(wanted).collect(),
        }
    }
}

pub(super) struct Report {
    entries: Vec<v1::ConfigEntry>,
}

/// An older server does not say where.
fn place(entry: &v1::ConfigEntry) -> String {
    if !entry.place.is_empty() {
        return show(entry.place.as_bytes());
    }
    origin(entry)
}

fn origin(entry: &v1::ConfigEntry) -> String {
    ConfigOrigin::try_from(entry.origin).map_or_else(
        |unknown| format!("unknown-{}", unknown.0),
        |origin| {
            let name = origin.as_str_name();
            let name = name.strip_prefix("CONFIG_ORIGIN_").unwrap_or(name);
            name.to_lowercase()
        },
    )
}

const fn change(entry: &v1::ConfigEntry) -> &'static str {
    if entry.reloadable {
        "reload"
    } else {
        "restart"
    }
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        for entry in &self.entries {
            let (name, value) = (show(entry.name.as_bytes()), show(entry.value.as_bytes()));
            out.extend_from_slice(format!("{name}={value}\n").as_bytes());
        }
    }

    fn object(&self) -> Map<String, Value> {
        let settings: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "value": entry.value,
                    "origin": origin(entry),
                    "place": entry.place,
                    "change": change(entry),
                })
            })
            .collect();
        Map::from_iter([("settings".to_owned(), settings.into())])
    }

    fn rows(&self) -> Rows {
        let row = |entry: &v1::ConfigEntry| {
            vec![
                show(entry.name.as_bytes()),
                show(entry.value.as_bytes()),
                place(entry),
                change(entry).to_owned(),
            ]
        };
        Rows {
            header: HEADER,
            rows: self.entries.iter().map(row).collect(),
        }
    }

    /// No setting of that name is as no record of that key.
    fn exit(&self) -> Exit {
        if self.entries.is_empty() {
            Exit::Negative
        } else {
            Exit::Success
        }
    }
}

pub(super) struct ReloadReport {
    reply: v1::ReloadResponse,
}

impl ReloadReport {
    pub(super) fn new(reply: v1::ReloadResponse) -> Self {
        Self { reply }
    }

    fn takes_effect(&self, change: &v1::ConfigChange) -> &'static str {
        if self.reply.needs_restart.contains(&change.name) {
            "restart"
        } else {
            "now"
        }
    }
}

impl output::Report for ReloadReport {
    fn raw(&self, out: &mut Vec<u8>) {
        let mut lines = |what: &str, names: &[String]| {
            for name in names {
                out.extend_from_slice(format!("{what}={}\n", show(name.as_bytes())).as_bytes());
            }
        };
        lines("changed", &self.reply.changed);
        lines("needs_restart", &self.reply.needs_restart);
    }

    fn object(&self) -> Map<String, Value> {
        let changes: Vec<Value> = self
            .reply
            .changes
            .iter()
            .map(|change| {
                json!({
                    "name": change.name,
                    "before": change.before,
                    "after": change.after,
                    "place": change.place,
                    "takes_effect": self.takes_effect(change),
                })
            })
            .collect();
        Map::from_iter([
            ("changed".to_owned(), json!(self.reply.changed)),
            ("needs_restart".to_owned(), json!(self.reply.needs_restart)),
            ("changes".to_owned(), changes.into()),
        ])
    }

    fn rows(&self) -> Rows {
        let row = |change: &v1::ConfigChange| {
            let mut row: Vec<String> = [&change.name, &change.before, &change.after, &change.place]
                .map(|text| show(text.as_bytes()))
                .to_vec();
            row.push(self.takes_effect(change).to_owned());
            row
        };
        Rows {
            header: CHANGES_HEADER,
            rows: self.reply.changes.iter().map(row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Success
    }

    /// What was odd about the sources.
    fn problems(&self) -> Vec<String> {
        let warnings = self.reply.warnings.iter();
        warnings.map(|text| show(text.as_bytes())).collect()
    }
}
