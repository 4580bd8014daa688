//! `kvd restore --from FILE... --into DIR`.

use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use kvcore::{RestoreOptions, Revision};

use super::progress::Progress;
use super::say;
use crate::args::RestoreArgs;
use crate::backend::embedded;
use crate::exit::Failure;

pub(super) fn run(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let options = RestoreOptions {
        at_revision: args.at_revision.map(Revision),
        at_time_ms: args.at_time,
        prefix: args.prefix.clone().map(OsStringExt::into_vec),
        segment_bytes: Some(args.segment_bytes),
    };
    let progress = Progress::default();
    let done = kvcore::restore(&args.from, &options, &args.into, &|read| {
        progress.show(read);
    });
    progress.clear();
    let restored = done.map_err(embedded::failure)?;
    say(&format!(
        "restored {} records as of revision {} into {}: store {}, which goes on at revision {}\n\
         start it with: kvd --data-dir {}",
        restored.records,
        restored.revision,
        args.into.display(),
        restored.store_id,
        restored.next_revision,
        args.into.display(),
    ));
    Ok(ExitCode::SUCCESS)
}
