//! GetConfig and Reload: the settings in force, and reading them again.

use std::fmt::Write as _;

use kvproto::v1::{self, ErrorReason as Reason};

use super::core::Core;
use super::status::Refusal;
use crate::backend::Store;
use crate::config::{Change, ConfigError, Origin};
use crate::control::{Changed, NotDone, Reloaded};

/// How much of the list of mistakes is told: a status travels in the headers, and many
/// clients take no more than a few KiB of those.
const TOLD: usize = 2048;

impl<S: Store> Core<S> {
    pub(super) fn config(&self) -> v1::GetConfigResponse {
        let config = self.shared.control.config();
        let mut entries: Vec<v1::ConfigEntry> = config
            .entries()
            .map(|(row, value, from)| v1::ConfigEntry {
                name: row.key.to_owned(),
                value,
                origin: origin(from).into(),
                reloadable: row.change == Change::Live,
                place: from.to_string(),
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        v1::GetConfigResponse {
            header: Some(self.state_header()),
            entries,
        }
    }

    pub(super) async fn reload(&self) -> Result<v1::ReloadResponse, Refusal> {
        let outcome = self.shared.control.reload().await.map_err(not_done)?;
        let reloaded = outcome.map_err(|error| mistakes(&error))?;
        Ok(v1::ReloadResponse {
            header: Some(self.state_header()),
            ..response(reloaded)
        })
    }
}

const fn origin(origin: &Origin) -> v1::ConfigOrigin {
    match origin {
        Origin::Default => v1::ConfigOrigin::Default,
        Origin::File(_) => v1::ConfigOrigin::File,
        Origin::Profile { .. } => v1::ConfigOrigin::Profile,
        Origin::Environment { .. } => v1::ConfigOrigin::Environment,
        Origin::Flag { .. } => v1::ConfigOrigin::Flag,
    }
}

fn response(reloaded: Reloaded) -> v1::ReloadResponse {
    let names = |changes: &[Changed]| changes.iter().map(|c| c.key.to_owned()).collect();
    let (changed, needs_restart) = (names(&reloaded.changed), names(&reloaded.needs_restart));
    let changes = reloaded.changed.into_iter().chain(reloaded.needs_restart);
    v1::ReloadResponse {
        header: None,
        changed,
        needs_restart,
        changes: changes
            .map(|change| v1::ConfigChange {
                name: change.key.to_owned(),
                before: change.before,
                after: change.after,
                place: change.origin.to_string(),
            })
            .collect(),
        warnings: reloaded.warnings,
    }
}

fn not_done(why: NotDone) -> Refusal {
    match why {
        NotDone::NoSources => Refusal::new(
            Reason::NotConfigured,
            "this daemon is part of another program, which has its settings: there is nothing to \
             read again",
        ),
        NotDone::Busy => Refusal::new(
            Reason::Overloaded,
            "other reloads wait for their turn: ask again",
        ),
        NotDone::Stopping => Refusal::new(Reason::Draining, "the server is stopping"),
    }
}

/// Each mistake on a line, as far as there is room.
fn mistakes(error: &ConfigError) -> Refusal {
    let ConfigError(problems) = error;
    let mut text = "nothing was changed:".to_owned();
    for (told, problem) in problems.iter().enumerate() {
        let line = problem.to_string();
        if text.len() + line.len() > TOLD {
            let more = problems.len() - told;
            let _ = write!(
                text,
                "\nand {more} more: kvd config check, on its machine, lists them"
            );
            break;
        }
        let _ = write!(text, "\n{line}");
    }
    Refusal::new(Reason::BadConfig, text).with("problems", problems.len())
}
