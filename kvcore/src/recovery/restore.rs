//! From backup files to a new store.
//!
//! ```text
//!  read     every file whole: each checksum, each unit, which revisions and which moments it covers
//!  choose   the revision: as asked, or the last one
//!  load     the full backup, then units up to that revision
//!  rebuild  a store in an empty directory
//! ```
//! Invariants:
//! - nothing is written before every file was read without a fault;
//! - the new store numbers on above all that the old one may have used, so that a revision
//!   never names two states, and bears the old one's id, unless the backup holds changes
//!   that are in no log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::put;
use super::error::OpenError;
use super::rebuild::{Heritage, empty_directory, fresh_target, random_id, rebuild};
use super::replay::{Target, redo, remember};
use super::summary::LoadProgress;
use crate::base::clock::SystemClock;
use crate::base::engine_clock::Moment;
use crate::base::entropy::{Entropy, SystemEntropy};
use crate::base::range::KeyRange;
use crate::base::revision::Revision;
use crate::disk::{Environment, ReadFile, plain_file};
use crate::format::StoreId;
use crate::format::snapshot::{
    BackupEnd, BlockKind, Purpose, SnapshotHeader, frame, records, requests,
};
use crate::format::unit::{check_units, units};
use crate::snapshot::{Block, ReadError, Reader};

/// What to bring back.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The state of this revision. Default: the last one in the files.
    pub at_revision: Option<Revision>,
    /// The state of this moment, ms since the Unix epoch.
    pub at_time_ms: Option<u64>,
    /// Only keys that begin so.
    pub prefix: Option<Vec<u8>>,
    /// Size of the new store's segments, in bytes. Default 64 MiB.
    pub segment_bytes: Option<u64>,
}

/// What was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub store_id: String,
    pub revision: Revision,
    pub records: u64,
    /// The first revision that the new store will use.
    pub next_revision: Revision,
}

/// A file that was read whole.
struct Piece {
    name: String,
    file: Box<dyn ReadFile>,
    header: SnapshotHeader,
    end: BackupEnd,
    /// Of its last frame, or of its beginning.
    engine_ms: u64,
    /// The last revision that was in the log at the moment that was asked for.
    at_moment: Option<Revision>,
}

/// Makes a store in `into` out of a full backup and the increments that follow it.
///
/// # Errors
/// A file is damaged, or they do not belong together, or do not hold the moment that was
/// asked for: nothing is written then. `into` must be empty, or not exist.
pub fn restore(
    files: &[PathBuf],
    options: &RestoreOptions,
    into: &Path,
    progress: &dyn Fn(LoadProgress),
) -> Result<Restored, OpenError> {
    let mut pieces: Vec<Piece> = files
        .iter()
        .map(|path| read(path, options.at_time_ms, progress))
        .collect::<Result<_, _>>()?;
    pieces.sort_by_key(|piece| {
        let increment = piece.header.purpose == Purpose::Increment;
        (increment, piece.header.start, piece.end.end.end)
    });
    let last = check_chain(&pieces)?;
    let at = choose(&pieces, options, last)?;
    let disk = empty_directory(into)?;
    let _lock = super::directory::lock(disk.as_ref())?;
    let environment = Environment {
        disk,
        clock: Arc::new(SystemClock::default()),
        entropy: Arc::new(SystemEntropy),
    };
    let target = fresh_target(environment.entropy.as_ref())?;
    let within = options
        .prefix
        .as_deref()
        .map_or_else(KeyRange::all, KeyRange::prefix);
    let mut reached = Revision::NONE;
    let mut engine_ms = 0;
    for piece in &pieces {
        engine_ms = engine_ms.max(piece.engine_ms);
        load(piece, &target, &within, at, &mut reached)
            .map_err(|error| refused(&piece.name, error))?;
    }
    let full = &pieces[0];
    let heritage = Heritage {
        store_id: store_id(full, environment.entropy.as_ref())?,
        at,
        numbered: last,
        clock: moment(&full.header, engine_ms),
        gaps: Vec::new(),
        repaired: None,
    };
    let segment_bytes = options.segment_bytes.unwrap_or(64 << 20);
    let numbering = rebuild(&environment, segment_bytes, &target, &heritage)?;
    Ok(Restored {
        store_id: heritage.store_id.to_string(),
        revision: at,
        records: target.shards.keys(),
        next_revision: numbering.next,
    })
}

/// Reads a file from its first byte to its last, and believes nothing before that.
fn read(
    path: &Path,
    moment_ms: Option<u64>,
    progress: &dyn Fn(LoadProgress),
) -> Result<Piece, OpenError> {
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| plain_file(file, path));
    let file = opened.map_err(OpenError::io(format!("cannot open {name}")))?;
    let scanned = scan(file.as_ref(), moment_ms, progress);
    let (header, end, engine_ms, at_moment) = scanned.map_err(|error| refused(&name, error))?;
    if header.purpose == Purpose::Snapshot {
        let what = "it is a snapshot of a store, which needs that store's log: not a backup";
        return Err(not_opened(&name, 0, what));
    }
    Ok(Piece {
        name,
        file,
        header,
        end,
        engine_ms,
        at_moment,
    })
}

type Scanned = (SnapshotHeader, BackupEnd, u64, Option<Revision>);

fn scan(
    file: &dyn ReadFile,
    moment_ms: Option<u64>,
    progress: &dyn Fn(LoadProgress),
) -> Result<Scanned, ReadError> {
    let mut reader = Reader::open(file)?;
    let header = reader.header;
    let skew = header.wall_ms.cast_signed() - header.engine_ms.cast_signed();
    let wanted = moment_ms.map(|ms| ms.saturating_add_signed(-skew));
    let mut engine_ms = header.engine_ms;
    let mut at_moment = None;
    while let Some(block) = reader.next_block()? {
        block.check()?;
        let damaged =
            |error: crate::format::FormatError| ReadError::damaged(block.offset, error.to_string());
        match block.head.kind {
            BlockKind::Records => {
                records(&block.payload, block.head.entries)
                    .try_for_each(|record| record.map(drop))
                    .map_err(damaged)?;
            }
            BlockKind::Requests => {
                requests(&block.payload, block.head.entries)
                    .try_for_each(|request| request.map(drop))
                    .map_err(damaged)?;
            }
            _ => {
                let frame = frame(&block.payload).map_err(damaged)?;
                check_units(frame.units, block.head.entries).map_err(damaged)?;
                engine_ms = engine_ms.max(frame.engine_ms);
                if wanted.is_some_and(|wanted| frame.engine_ms <= wanted) {
                    let units = u64::from(block.head.entries);
                    at_moment = Some(Revision(frame.first_revision.0 + units - 1));
                }
            }
        }
        progress(LoadProgress {
            bytes_done: reader.offset(),
            bytes_total: file.size(),
        });
    }
    let end = reader.end().expect("the walk is over");
    Ok((header, end, engine_ms, at_moment))
}

/// One full backup, and increments that follow it without a hole. Returns the last revision.
fn check_chain(pieces: &[Piece]) -> Result<Revision, OpenError> {
    let mut full = pieces
        .iter()
        .filter(|piece| piece.header.purpose == Purpose::Backup);
    let Some(first) = full.next() else {
        let what = "none of the files is a full backup: increments need the one they follow";
        return Err(OpenError::Options(what.into()));
    };
    if let Some(second) = full.next() {
        let what = format!(
            "{} and {} are both full backups: give one of them, and the increments after it",
            first.name, second.name
        );
        return Err(OpenError::Options(what));
    }
    let mut last = first.end.end.end;
    for piece in &pieces[1..] {
        if piece.header.store_id != first.header.store_id {
            let what = format!("it is of another store than {}", first.name);
            return Err(not_opened(&piece.name, 0, &what));
        }
        if first.end.beyond_log {
            let what = format!("nothing can follow {}: its log had failed", first.name);
            return Err(not_opened(&piece.name, 0, &what));
        }
        if piece.header.start > last {
            let what = format!(
                "it begins behind revision {}, the files before it end at {last}: one is missing",
                piece.header.start
            );
            return Err(not_opened(&piece.name, 0, &what));
        }
        last = last.max(piece.end.end.end);
    }
    Ok(last)
}

fn choose(
    pieces: &[Piece],
    options: &RestoreOptions,
    last: Revision,
) -> Result<Revision, OpenError> {
    let from = pieces[0].end.exact_from;
    let outside = |what: String| {
        OpenError::Options(format!(
            "{what}: the files bring back revisions {from} to {last}"
        ))
    };
    match (options.at_revision, options.at_time_ms) {
        (Some(_), Some(_)) => Err(OpenError::Options(
            "a revision and a moment exclude one another".into(),
        )),
        (Some(at), None) if at < from || at > last => {
            Err(outside(format!("revision {at} is not in them")))
        }
        (Some(at), None) => Ok(at),
        (None, Some(ms)) => {
            let found = pieces.iter().filter_map(|piece| piece.at_moment).max();
            found
                .filter(|at| *at >= from)
                .map(|at| at.min(last))
                .ok_or_else(|| outside(format!("the moment {ms} ms lies before them")))
        }
        (None, None) => Ok(last),
    }
}

fn load(
    piece: &Piece,
    target: &Target,
    within: &KeyRange,
    at: Revision,
    reached: &mut Revision,
) -> Result<(), ReadError> {
    let mut reader = Reader::open(piece.file.as_ref())?;
    *reached = (*reached).max(piece.header.start);
    while let Some(block) = reader.next_block()? {
        block.check()?;
        let loaded = match block.head.kind {
            BlockKind::Records => load_records(&block, target, within),
            BlockKind::Requests => load_requests(&block, target, at),
            _ => load_units(&block, target, within, at, reached),
        };
        loaded.map_err(|error| ReadError::damaged(block.offset, error.to_string()))?;
    }
    Ok(())
}

type Decoded = Result<(), crate::format::FormatError>;

fn load_records(block: &Block, target: &Target, within: &KeyRange) -> Decoded {
    for record in records(&block.payload, block.head.entries) {
        let record = record?;
        if within.contains(record.key) {
            put(target, &record);
        }
    }
    Ok(())
}

fn load_requests(block: &Block, target: &Target, at: Revision) -> Decoded {
    for request in requests(&block.payload, block.head.entries) {
        let request = request?;
        if request.revision <= at {
            remember(target, &request.tag, request.revision, request.at_ms)?;
        }
    }
    Ok(())
}

fn load_units(
    block: &Block,
    target: &Target,
    within: &KeyRange,
    at: Revision,
    reached: &mut Revision,
) -> Decoded {
    let frame = frame(&block.payload)?;
    let mut revision = frame.first_revision;
    for unit in units(frame.units) {
        let unit = unit?;
        if revision > *reached && revision <= at {
            if let Some(tag) = &unit.request {
                remember(target, tag, revision, frame.engine_ms)?;
            }
            for op in unit.ops().filter(|op| within.contains(op.key)) {
                redo(target, &op, revision);
            }
            *reached = revision;
        }
        revision = revision.next();
    }
    Ok(())
}

/// The clocks at the end of the files.
fn moment(header: &SnapshotHeader, engine_ms: u64) -> Moment {
    let since = engine_ms.saturating_sub(header.engine_ms);
    Moment {
        engine_ms,
        wall_ms: header.wall_ms.saturating_add(since),
    }
}

fn store_id(full: &Piece, entropy: &dyn Entropy) -> Result<StoreId, OpenError> {
    if !full.end.beyond_log {
        return Ok(full.header.store_id);
    }
    random_id(entropy)
}

fn refused(name: &str, error: ReadError) -> OpenError {
    match error {
        ReadError::Damaged { offset, what } => not_opened(name, offset, &what),
        ReadError::Io(source) => OpenError::io(format!("cannot read {name}"))(source),
    }
}

fn not_opened(name: &str, offset: u64, what: &str) -> OpenError {
    OpenError::BadBackup {
        file: name.to_owned(),
        offset,
        what: what.to_owned(),
    }
}
