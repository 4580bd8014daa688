//! The whole of recovery, in order: survey, read, judge, replay, and a fresh segment.

use std::sync::Arc;

use super::base::{Base, DamagedSnapshot, load_base};
use super::classify::{self, Tail};
use super::error::OpenError;
use super::fresh::{self, Numbering, Plan};
use super::relief::{self, LeftRooms};
use super::replay::{Segment, Target, replay};
use super::summary::{LoadProgress, RecoverySummary};
use super::survey::{SegmentFound, Survey, read_whole, survey};
use crate::base::broken;
use crate::base::engine_clock::{EngineClock, Moment};
use crate::base::revision::Revision;
use crate::disk::{Disk, Environment, LogIo};
use crate::format::StoreId;
use crate::format::manifest::{ClockPair, Manifest};
use crate::format::segment_header::{PreviousEnd, SEGMENT_HEADER_BYTES};
use crate::log::catalog::{Catalog, Entry};
use crate::log::reader::Walk;
use crate::log::segment::ActiveSegment;
use crate::log::spares::Spares;

/// A recovered store, ready for its first write.
#[derive(Debug)]
pub struct Loaded {
    pub manifest: Manifest,
    pub active: ActiveSegment,
    pub numbering: Numbering,
    pub clock: Arc<EngineClock>,
    pub summary: RecoverySummary,
    /// The segments of the log, the new one included.
    pub catalog: Catalog,
}

/// What replay has learned of the log.
#[derive(Debug)]
struct End {
    walk: Walk,
    tail: Tail,
    tail_bytes: Vec<u8>,
}

/// What recovery works with.
pub struct Loading<'a> {
    pub environment: &'a Environment,
    pub spares: &'a Spares,
    pub target: &'a Target,
    /// Threads that replay.
    pub threads: usize,
    /// Do not open a store whose tail is suspect.
    pub refuse_suspect: bool,
    pub damaged_snapshot: DamagedSnapshot,
    pub progress: &'a (dyn Fn(LoadProgress) + Sync),
}

impl std::fmt::Debug for Loading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loading")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Recovers the directory into the target and opens a new segment behind what it found.
pub fn load(loading: &Loading<'_>) -> Result<Loaded, OpenError> {
    let Loading {
        environment,
        spares,
        target,
        ..
    } = *loading;
    let Environment { disk, .. } = environment;
    let found = survey(disk)?;
    for name in &found.strangers {
        tracing::warn!(
            name,
            "a file in the data directory is not the store's; it is left alone"
        );
    }
    let Some(manifest) = &found.manifest else {
        return create(environment, spares);
    };
    let (base, snapshot) = load_base(
        disk,
        manifest,
        target,
        loading.threads,
        loading.damaged_snapshot,
        loading.progress,
    )?;
    let (end, units) = read_log(&found, manifest, base, loading)?;
    let last = end.walk.last_revision;
    refuse_if_log_is_short(base.end, snapshot.as_deref(), last)?;
    let newest = found
        .segments
        .last()
        .expect("a MANIFEST names at least one segment");
    refuse_if_suspect(newest, &end, loading.refuse_suspect)?;
    refuse_if_older_manifest(manifest, last)?;

    let summary = RecoverySummary {
        units,
        segments: found.segments.len() as u64,
        log_bytes: found.segments.iter().map(|s| s.file.size()).sum(),
        clean_start: manifest.clean.is_some(),
        snapshot,
        snapshot_records: base.records,
        ..RecoverySummary::default()
    };
    let summary = tidy(disk, &found, newest, &end, summary)?;
    let mut rooms = LeftRooms::keep_few(disk, found.rooms.clone())?;
    let clock = resumed_clock(environment, manifest, &end);
    let salt = environment
        .entropy
        .u64()
        .map_err(OpenError::io("no random numbers"))?;
    let plan = plan(newest, &end, base, manifest.clean, pair(&clock), salt);
    if broken::is(broken::Build::AppendToRecoveredTail) {
        let read = (&found.segments[..], &end);
        return resume(environment, read, manifest, &plan, rooms, summary, clock);
    }
    let mut manifest = manifest.clone();
    let old = (newest, end.walk.end, &end.tail);
    let active =
        relief::first_segment((disk, spares, &mut rooms), &mut manifest, base, old, &plan)?;
    let next = fresh::manifest_after(&manifest, &plan);
    rooms.publish(&next)?;
    rooms.remove()?;
    let read = &found.segments;
    Ok(loaded(next, &plan, read, active, summary, clock))
}

/// Removes what nobody needs, and keeps a copy of a torn tail.
fn tidy(
    disk: &Arc<dyn Disk>,
    found: &Survey,
    newest: &SegmentFound,
    end: &End,
    mut summary: RecoverySummary,
) -> Result<RecoverySummary, OpenError> {
    for name in found.temporaries.iter().chain(&found.leftovers) {
        disk.remove(name)
            .map_err(OpenError::io(format!("cannot remove {name}")))?;
    }
    if let Tail::Torn { bytes, why } | Tail::Suspect { bytes, why } = &end.tail {
        let kept = fresh::quarantine(disk, newest.header.sequence, end.walk.end, &end.tail_bytes)?;
        tracing::warn!(
            segment = newest.name,
            offset = end.walk.end,
            bytes,
            why,
            kept = kept.as_deref().unwrap_or("no copy, for want of space"),
            "the log ends in a torn tail, which nobody was told is durable; it is cut off"
        );
        summary.torn_bytes = *bytes;
        summary.quarantined = kept;
    }
    Ok(summary)
}

/// The engine's clock goes on where the log ended, or where it would be by now.
fn resumed_clock(environment: &Environment, manifest: &Manifest, end: &End) -> Arc<EngineClock> {
    let recorded = Moment {
        engine_ms: manifest.clock.engine_ms,
        wall_ms: manifest.clock.wall_ms,
    };
    let newest = end.walk.engine_ms.max(recorded.engine_ms);
    Arc::new(EngineClock::resume(
        environment.clock.clone(),
        recorded,
        newest,
    ))
}

fn pair(clock: &EngineClock) -> ClockPair {
    let Moment { engine_ms, wall_ms } = clock.moment();
    ClockPair { engine_ms, wall_ms }
}

fn loaded(
    manifest: Manifest,
    plan: &Plan,
    segments: &[SegmentFound],
    active: ActiveSegment,
    summary: RecoverySummary,
    clock: Arc<EngineClock>,
) -> Loaded {
    let there = segments
        .iter()
        .filter(|segment| segment.header.sequence >= manifest.first_segment);
    Loaded {
        clock,
        active,
        numbering: plan.numbering,
        summary,
        catalog: catalog(there, plan),
        manifest,
    }
}

fn catalog<'a>(segments: impl Iterator<Item = &'a SegmentFound>, plan: &Plan) -> Catalog {
    let catalog = Catalog::new(segments.map(|segment| Entry {
        sequence: segment.header.sequence,
        first_revision: segment.header.first_revision,
        begun_ms: segment.header.engine_ms,
    }));
    catalog.push(Entry {
        sequence: plan.sequence,
        first_revision: plan.numbering.next,
        begun_ms: plan.clock.engine_ms,
    });
    catalog
}

/// The broken build of this name: goes on in the segment that was just read.
fn resume(
    environment: &Environment,
    (segments, end): (&[SegmentFound], &End),
    manifest: &Manifest,
    plan: &Plan,
    mut rooms: LeftRooms,
    summary: RecoverySummary,
    clock: Arc<EngineClock>,
) -> Result<Loaded, OpenError> {
    let newest = segments.last().expect("a MANIFEST names a segment");
    let file = environment
        .disk
        .open_segment(&newest.name, LogIo::default())
        .map_err(OpenError::io("cannot open the newest segment"))?;
    let mut next = fresh::manifest_after(manifest, plan);
    next.newest_segment = newest.header.sequence;
    let active = ActiveSegment::resume(file, &newest.header, &end.walk);
    let plan = Plan {
        sequence: newest.header.sequence,
        ..*plan
    };
    rooms.publish(&next)?;
    rooms.remove()?;
    Ok(loaded(next, &plan, segments, active, summary, clock))
}

/// A store that never was: its first segment, then the MANIFEST that makes it one.
fn create(environment: &Environment, spares: &Spares) -> Result<Loaded, OpenError> {
    let Environment { disk, entropy, .. } = environment;
    let clock = Arc::new(EngineClock::begin(environment.clock.clone()));
    let random = || entropy.u64().map_err(OpenError::io("no random numbers"));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random()?.to_le_bytes());
    id[8..].copy_from_slice(&random()?.to_le_bytes());
    let pair = pair(&clock);
    let manifest = Manifest {
        store_id: StoreId(id),
        generation: 1,
        first_segment: 1,
        newest_segment: 1,
        durable: Revision::START,
        gaps: Vec::new(),
        clock: pair,
        clean: None,
        snapshots: Vec::new(),
        repaired: None,
    };
    let plan = Plan {
        sequence: 1,
        previous: None,
        numbering: Numbering::after(Revision::START, Revision::START, true),
        torn: false,
        clock: pair,
        salt: random()?,
    };
    let active = fresh::create(disk, spares, &manifest, &plan)?;
    disk.replace(crate::format::names::MANIFEST, &manifest.encode())
        .map_err(OpenError::io("cannot publish MANIFEST"))?;
    let summary = RecoverySummary {
        clean_start: true,
        ..RecoverySummary::default()
    };
    Ok(Loaded {
        clock,
        manifest,
        active,
        numbering: plan.numbering,
        summary,
        catalog: catalog([].iter(), &plan),
    })
}

/// Reads, checks and applies every segment, and puts the keys in order.
fn read_log(
    found: &Survey,
    manifest: &Manifest,
    base: Base,
    loading: &Loading<'_>,
) -> Result<(End, u64), OpenError> {
    // What lies before is kept for an older snapshot.
    let needed = |s: &&SegmentFound| s.header.sequence >= base.first_segment;
    let bytes_total = found
        .segments
        .iter()
        .filter(needed)
        .map(|s| s.file.size())
        .sum();
    let mut known = manifest.durable.max(manifest.clean.unwrap_or_default());
    let mut bytes_done = 0;
    let mut segments = found
        .segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| needed(segment));
    let mut end = None;
    let units = replay(loading.target, base, loading.threads, || {
        let Some((index, segment)) = segments.next() else {
            return Ok(None);
        };
        let bytes = read_whole(segment.file.as_ref(), &segment.name)?;
        let following = found
            .segments
            .get(index + 1)
            .and_then(|s| s.header.previous.as_ref());
        let frames = if let Some(following) = following {
            let walk = classify::sealed(segment, &bytes, following)?;
            known = known.max(walk.durable);
            walk.frames
        } else {
            let mut newest = classify::newest(segment, &bytes, known)?;
            let from = usize::try_from(newest.walk.end)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let tail_bytes = match newest.tail {
                Tail::Clean => Vec::new(),
                Tail::Torn { bytes: n, .. } | Tail::Suspect { bytes: n, .. } => {
                    bytes[from..from + usize::try_from(n).unwrap_or(0)].to_vec()
                }
            };
            let frames = std::mem::take(&mut newest.walk.frames);
            end = Some(End {
                walk: newest.walk,
                tail: newest.tail,
                tail_bytes,
            });
            frames
        };
        bytes_done += segment.file.size();
        (loading.progress)(LoadProgress {
            bytes_done,
            bytes_total,
        });
        Ok(Some(Arc::new(Segment {
            name: segment.name.clone(),
            bytes,
            frames,
        })))
    })?;
    let end = end.ok_or_else(|| {
        OpenError::damaged(crate::format::names::MANIFEST, 0, "it names no segment")
    })?;
    loading.target.shards.order_keys(loading.threads);
    Ok((end, units))
}

/// The log up to a snapshot's end is part of what it says.
pub(super) fn refuse_if_log_is_short(
    end: Revision,
    snapshot: Option<&str>,
    last: Revision,
) -> Result<(), OpenError> {
    if last >= end {
        return Ok(());
    }
    let what = format!(
        "it needs the log up to revision {end}, which ends at {last}: segments are missing"
    );
    Err(OpenError::damaged(snapshot.unwrap_or_default(), 0, what))
}

fn refuse_if_suspect(newest: &SegmentFound, end: &End, refuse: bool) -> Result<(), OpenError> {
    match &end.tail {
        Tail::Suspect { why, .. } if refuse => {
            let what = format!(
                "{why}; the last frame is there from head to trailer and its bytes are wrong, which \
                 is not how a torn write looks; set log.suspect_tail=cut to cut it off"
            );
            Err(OpenError::damaged(&newest.name, end.walk.end, what))
        }
        _ => Ok(()),
    }
}

/// After an orderly end nothing more was written, so MANIFEST and log end together.
pub(super) fn refuse_if_older_manifest(
    manifest: &Manifest,
    last: Revision,
) -> Result<(), OpenError> {
    match manifest.clean {
        Some(clean) if clean != last => {
            let what = format!(
                "it says that the store was closed at revision {clean}, the log ends at {last}: \
                 they are not from the same moment"
            );
            Err(OpenError::damaged(crate::format::names::MANIFEST, 0, what))
        }
        _ => Ok(()),
    }
}

/// Where the log goes on. A newest segment without units is replaced by the new one,
/// so that restarts do not pile up empty segments and the log's last revision always
/// names a unit.
fn plan(
    newest: &SegmentFound,
    end: &End,
    base: Base,
    clean: Option<Revision>,
    clock: ClockPair,
    salt: u64,
) -> Plan {
    let header = &newest.header;
    let numbered = Revision(header.first_revision.0 - 1);
    let empty = end.walk.units == 0;
    let (sequence, previous, last) = if empty {
        let last = header
            .previous
            .as_ref()
            .map_or(Revision::START.max(base.end), |p| p.last_revision);
        (header.sequence, header.previous, last)
    } else {
        let previous = PreviousEnd {
            sequence: header.sequence,
            end: end.walk.end,
            last_revision: end.walk.last_revision,
            link: end.walk.link,
        };
        (header.sequence + 1, Some(previous), end.walk.last_revision)
    };
    debug_assert!(end.walk.end >= SEGMENT_HEADER_BYTES as u64);
    Plan {
        sequence,
        previous,
        numbering: Numbering::after(last, numbered, clean.is_some()),
        torn: end.tail != Tail::Clean,
        clock,
        salt,
    }
}
