//! `kvd repair DIR --plan | --apply`.

use std::process::ExitCode;

use kvcore::{Revision, Way};

use super::progress::Progress;
use super::say;
use crate::args::RepairArgs;
use crate::backend::embedded;
use crate::exit::{Exit, Failure};

pub(super) fn run(args: &RepairArgs) -> Result<ExitCode, Failure> {
    let way = match args.truncate_at_revision {
        Some(at) => Some(Way::TruncateAt(Revision(at))),
        None if args.from_older_snapshot => Some(Way::FromOlderSnapshot),
        None if args.salvage => Some(Way::Salvage),
        None => None,
    };
    let Some(way) = way else {
        return plan_all(args);
    };
    let report = repair(args, way)?;
    say(&report.to_string());
    if let (Some((store_id, next)), Some(into)) = (&report.created, &args.into) {
        let into = into.display();
        say(&format!(
            "made store {store_id} in {into}, which goes on at revision {next}\n\
             start it with: kvd --data-dir {into}\n\
             then say that you know what is lost: kvcli acknowledge-repair {store_id}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What each way would keep.
fn plan_all(args: &RepairArgs) -> Result<ExitCode, Failure> {
    let salvage = repair(args, Way::Salvage)?;
    say(&format!("{salvage}\n"));
    match repair(args, Way::FromOlderSnapshot) {
        Ok(older) => say(&format!("{older}\n")),
        Err(failure) if failure.exit == Exit::Damaged => {
            say(&format!("from an older snapshot: {failure}\n"));
        }
        Err(failure) => return Err(failure),
    }
    let whole_to = salvage.whole_to;
    match repair(args, Way::TruncateAt(whole_to)) {
        Ok(cut) => say(&cut.to_string()),
        Err(failure) if failure.exit == Exit::Damaged => {
            say(&format!("truncate: {failure}"));
        }
        Err(failure) => return Err(failure),
    }
    Ok(ExitCode::SUCCESS)
}

fn repair(args: &RepairArgs, way: Way) -> Result<kvcore::RepairReport, Failure> {
    let progress = Progress::default();
    let done = kvcore::repair(&args.dir, way, args.into.as_deref(), args.apply, &|read| {
        progress.show(read);
    });
    progress.clear();
    // What is no directory is an I/O matter, as for `kvd check`.
    done.map_err(|error| {
        let missing = !args.dir.is_dir();
        let failure = embedded::failure(error);
        if missing {
            return Failure::new(Exit::Io, failure.message);
        }
        failure
    })
}
