//! `kvd check DIR`.

use std::path::Path;
use std::process::ExitCode;

use kvcore::{CheckReport, FileReport, Gap, LostKey, Place, Verdict, show_key};
use serde_json::{Value as Json, json};

use super::say;
use crate::args::ReportForm;
use crate::exit::{Exit, Failure};

pub(super) fn run(dir: &Path, output: ReportForm) -> Result<ExitCode, Failure> {
    let report = kvcore::check(dir).map_err(super::not_readable)?;
    match output {
        ReportForm::Table => say(report.to_string().trim_end()),
        ReportForm::Json => say(&format!("{:#}", as_json(&report))),
    }
    Ok(match report.verdict() {
        Verdict::Clean | Verdict::Torn => ExitCode::SUCCESS,
        Verdict::Suspect | Verdict::Corrupt => Exit::Damaged.into(),
    })
}

fn as_json(report: &CheckReport) -> Json {
    json!({
        "store_id": report.store_id,
        "verdict": format!("{:?}", report.verdict()).to_lowercase(),
        "clean_shutdown": report.clean_shutdown,
        "damage": report.damage,
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
        "strangers": report.strangers,
        "leftovers": report.leftovers,
    })
}

fn file(file: &FileReport) -> Json {
    json!({
        "name": file.name,
        "class": file.class.name().replace(' ', "_"),
        "first_revision": file.first_revision.0,
        "last_revision": file.last_revision.0,
        "units": file.units,
        "bytes": file.bytes,
        "note": file.note,
        "first_bad_offset": file.places.iter().map(|place| place.offset).min(),
        "revisions_lost": file.lost(),
        "places": file.places.iter().map(place).collect::<Vec<_>>(),
    })
}

fn place(place: &Place) -> Json {
    json!({
        "offset": place.offset,
        "end": place.end,
        "what": place.what,
        "lost": place.lost.as_ref().map(gap),
        "more_may_be_lost": place.open,
        "records_lost": place.records,
        "keys": place.keys.iter().map(key).collect::<Vec<_>>(),
        "all_keys_known": place.all_keys,
    })
}

fn gap(gap: &Gap) -> Json {
    json!({ "first": gap.first.0, "last": gap.last.0 })
}

/// Text as text; other bytes as `\xNN` under another name.
fn key(lost: &LostKey) -> Json {
    let revision = lost.revision.0;
    match std::str::from_utf8(&lost.key) {
        Ok(text) => json!({ "key": text, "revision": revision }),
        Err(_) => json!({ "key_escaped": show_key(&lost.key), "revision": revision }),
    }
}
