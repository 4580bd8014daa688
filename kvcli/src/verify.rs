//! `verify`: has the server check its files, and says what is damaged.
//!
//! Every damaged place is told on standard error when it is found, and printed at the end.
//! Nothing is asked twice: a check that broke off is begun again by whoever wants it.

use kvproto::v1;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::{
    connect,
    failure::{Exit, Failure, Refusal, complain},
    output::{self, Output, Rows},
    progress::Progress,
    settings::Settings,
    text::{insert_bytes, show},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Most to read in a second, such as 64MiB [default: as fast as it goes]
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<i64>,
}

/// Runs alone: it takes as long as the files are large.
pub(crate) async fn run(
    settings: &Settings,
    args: Args,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let mut caller = connect::connect(settings).await?;
    let request = v1::VerifyRequest {
        bytes_per_second: args.rate.unwrap_or_default(),
        ..v1::VerifyRequest::default()
    };
    let refused = |status: &tonic::Status| Failure::from_refusal(Refusal::from_status(status));
    // The time limit is for each message, not for the whole.
    let late = |_| Failure::Undecided("the check said nothing within --timeout".into());
    let begun = timeout(settings.timeout, caller.admin.verify(request)).await;
    let begun = begun.map_err(late)?.map_err(|status| refused(&status))?;
    let mut messages = begun.into_inner();
    let mut progress = Progress::of_wait();
    let mut damages = Vec::new();
    loop {
        let message = timeout(settings.timeout, messages.message()).await;
        let message = message.map_err(late)?.map_err(|status| refused(&status))?;
        let Some(message) = message else {
            let what = "the check ended before its last message: not all was read";
            return Err(Failure::Undecided(what.into()));
        };
        for damage in message.damages {
            progress.clear();
            // At once, for whoever looks on: the rest may take hours.
            complain(&format!(
                "{}, byte {}: {}",
                damage.file,
                damage.offset,
                what(&damage)
            ));
            damages.push(damage);
        }
        let part = |n: i64| u64::try_from(n).unwrap_or_default();
        let (done, whole) = (part(message.bytes_done), part(message.bytes_total));
        if message.last {
            progress.clear();
            let report = Report {
                bytes: done,
                damages,
            };
            output.print(&report)?;
            output.flush()?;
            return Ok(output::Report::exit(&report));
        }
        progress.part(done, whole, &message.file);
    }
}

fn rate(text: &str) -> Result<i64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "KiB" => 1_i64 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("expected a size with its unit: KiB, MiB or GiB".into()),
    };
    let number: i64 = digits
        .parse()
        .map_err(|_| "expected a size such as 64MiB".to_owned())?;
    let rate = number.checked_mul(unit).filter(|rate| *rate > 0);
    rate.ok_or_else(|| "it is more than nothing and less than 8 EiB".into())
}

/// What it came to.
struct Report {
    bytes: u64,
    damages: Vec<v1::Damage>,
}

/// One revision, a range of them, or none.
fn revisions(damage: &v1::Damage) -> String {
    match (damage.first_revision, damage.last_revision) {
        (0, _) => String::new(),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

fn keys(damage: &v1::Damage) -> String {
    let keys = damage.keys.iter().map(|key| show(key));
    keys.collect::<Vec<_>>().join(",")
}

fn what(damage: &v1::Damage) -> String {
    if damage.lost_records > 0 {
        return format!("{}; {} records", damage.detail, damage.lost_records);
    }
    damage.detail.clone()
}

fn object(damage: &v1::Damage) -> Value {
    let keys = damage.keys.iter().map(|key| {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", key);
        Value::Object(object)
    });
    json!({
        "file": damage.file,
        "offset": damage.offset,
        "first_revision": damage.first_revision,
        "last_revision": damage.last_revision,
        "lost_records": damage.lost_records,
        "detail": damage.detail,
        "keys": keys.collect::<Vec<_>>(),
    })
}

impl output::Report for Report {
    fn raw(&self, out: &mut Vec<u8>) {
        let sums = format!("bytes={}\ndamages={}\n", self.bytes, self.damages.len());
        out.extend_from_slice(sums.as_bytes());
        for damage in &self.damages {
            let line = format!(
                "{}\t{}\t{}\t{}\t{}\n",
                show(damage.file.as_bytes()),
                damage.offset,
                revisions(damage),
                keys(damage),
                show(what(damage).as_bytes()),
            );
            out.extend_from_slice(line.as_bytes());
        }
    }

    fn object(&self) -> Map<String, Value> {
        let damages = self.damages.iter().map(object);
        let mut object = Map::new();
        object.insert("bytes".into(), self.bytes.into());
        object.insert("damages".into(), Value::Array(damages.collect()));
        object
    }

    fn rows(&self) -> Rows {
        if self.damages.is_empty() {
            return Rows::one(
                &["bytes", "damages"],
                vec![self.bytes.to_string(), "0".into()],
            );
        }
        let row = |damage: &v1::Damage| {
            vec![
                damage.file.clone(),
                damage.offset.to_string(),
                revisions(damage),
                keys(damage),
                what(damage),
            ]
        };
        Rows {
            header: &["file", "offset", "revisions", "keys", "what"],
            rows: self.damages.iter().map(row).collect(),
        }
    }

    fn exit(&self) -> Exit {
        if self.damages.is_empty() {
            Exit::Success
        } else {
            Exit::Negative
        }
    }
}
