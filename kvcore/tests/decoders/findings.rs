//! What these bodies found, each held still. All of it needs bytes that are signed as the
//! store signs them: a bug, or somebody who can write to the directory.

use std::sync::Arc;

use kvcore::Verdict;
use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::{Disk, SimDisk};
use kvcore::format::StoreId;
use kvcore::format::checksum::Seed;
use kvcore::format::frame::{FRAME_HEAD_BYTES, FrameBuilder, FrameFields, FrameKind};
use kvcore::format::manifest::{Manifest, SnapshotRef};
use kvcore::format::names::{MANIFEST, snapshot_name};
use kvcore::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use kvcore::recovery::check::check_on;
use kvcore::recovery::inspect::MISSING_TOLD;
use kvcore::recovery::repair::plan_on;
use kvcore::recovery::sift::{Bounds, sift};
use kvcore::{Engine, Environment, OpenErrorKind, Options, Revision, Way};

fn options() -> Options {
    let mut options = Options::new("/simulated");
    options.segment_bytes = 64 << 10;
    options.limits.value_bytes = 2048;
    options.limits.unit_bytes = 4096;
    options.limits.unit_operations = 4;
    options.limits.in_flight_bytes = 64 << 10;
    options.shards = 4;
    options
}

/// An empty store that was closed in order, with another MANIFEST.
fn with(change: impl FnOnce(&mut Manifest)) -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new(1);
    let environment = environment(&disk);
    let (engine, mut writer) = Engine::open_manual(options(), &environment).expect("a new store");
    engine.close_manual(&mut writer);
    drop((engine, writer));
    let bytes = disk.file_bytes(MANIFEST).expect("there");
    let mut manifest = Manifest::decode(&bytes).expect("sound");
    change(&mut manifest);
    disk.replace(MANIFEST, &manifest.encode()).expect("written");
    let any: Arc<dyn Disk> = Arc::new(disk.clone());
    (disk, any)
}

fn environment(disk: &SimDisk) -> Environment {
    Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(5)),
    }
}

fn refused(disk: &SimDisk) -> String {
    let error = Engine::open_manual(options(), &environment(disk)).expect_err("refused");
    assert_eq!(error.kind(), OpenErrorKind::Damaged, "{error}");
    error.to_string()
}

/// A million names were made and each was looked for among all others: no end was in sight.
#[test]
fn a_manifest_that_names_segments_without_end_ends_a_check() {
    let _one = crate::ONE.lock();
    let (disk, any) = with(|manifest| manifest.newest_segment = 1 << 61);
    let report = check_on(&any).expect("it can be read");
    assert_eq!(report.verdict(), Verdict::Corrupt);
    assert!(
        report.files.len() <= 2 * MISSING_TOLD + 2,
        "{}",
        report.files.len()
    );
    let plan = plan_on(&any, Way::Salvage).expect("it can be told");
    assert!(
        plan.files.len() <= 2 * MISSING_TOLD + 2,
        "{}",
        plan.files.len()
    );
    refused(&disk);
}

/// A check said CLEAN, a start refused it.
#[test]
fn a_check_sees_that_the_log_does_not_begin_where_it_must() {
    let _one = crate::ONE.lock();
    let (disk, any) = with(|manifest| {
        manifest.newest_segment += 1;
        manifest.first_segment = manifest.newest_segment;
    });
    assert_eq!(check_on(&any).expect("read").verdict(), Verdict::Corrupt);
    refused(&disk);
}

#[test]
fn a_check_sees_that_the_store_was_closed_at_another_revision() {
    let _one = crate::ONE.lock();
    let (disk, any) = with(|manifest| {
        manifest.clean = Some(Revision::NONE);
    });
    assert_eq!(check_on(&any).expect("read").verdict(), Verdict::Corrupt);
    assert!(refused(&disk).contains("not from the same moment"));
}

/// Neither was refused; the first made a check call a store CLEAN that has no log at all.
#[test]
fn a_manifest_whose_segments_end_before_they_begin_is_none() {
    let _one = crate::ONE.lock();
    let (_, any) = with(|_| ());
    let file = any.open_read(MANIFEST).expect("there");
    let mut bytes = vec![0; usize::try_from(file.size()).expect("small")];
    file.read_exact_at(0, &mut bytes).expect("read");
    let sound = Manifest::decode(&bytes).expect("sound");
    let mut backwards = bytes.clone();
    // first_segment is the third field: 16 bytes of head, 22 and 14 of fields, 6 of its own.
    let at = 16 + 22 + 14 + 6;
    assert_eq!(backwards[at], sound.first_segment.to_le_bytes()[0]);
    backwards[at] = 0xff;
    sign(&mut backwards);
    let told = Manifest::decode(&backwards)
        .expect_err("backwards")
        .to_string();
    assert!(told.contains("newest segment"), "{told}");

    let (start, end) = (Revision(1), Revision(1));
    let beyond = Manifest {
        snapshots: vec![SnapshotRef {
            name: snapshot_name(start, end),
            bytes: 1,
            crc: 0,
            start,
            end,
            first_segment: sound.newest_segment,
        }],
        ..sound
    };
    let mut bytes = beyond.encode();
    let at = bytes.len() - 4 - beyond.snapshots[0].name.len() - 4 - 8;
    bytes[at] += 1;
    sign(&mut bytes);
    let told = Manifest::decode(&bytes)
        .expect_err("no such segment")
        .to_string();
    assert!(told.contains("snapshot's first segment"), "{told}");
}

/// A frame whose head counts more units than there are, signed like that, and then one bit of
/// its body flipped: mended, it was counted as if all its units had been handed out.
#[test]
fn a_mended_frame_hands_out_what_it_counts() {
    let _one = crate::ONE.lock();
    let header = SegmentHeader {
        store_id: StoreId([7; 16]),
        sequence: 1,
        first_revision: Revision(2),
        salt: 99,
        previous: None,
        recovered: false,
        gap_before: false,
        segment_bytes: 64 << 10,
        engine_ms: 0,
        wall_ms: 0,
    };
    let mut bytes = header.encode().to_vec();
    let link = SegmentHeader::crc_of(&bytes);
    let mut builder = FrameBuilder::begin(&mut bytes);
    let unit = include_bytes!("../golden/v1/unit-set.bin");
    builder.payload().extend_from_slice(unit);
    let seed = Seed {
        salt: header.salt,
        sequence: header.sequence,
    };
    let fields = FrameFields {
        kind: FrameKind::Data,
        group_end: false,
        first_revision: Revision(2),
        units: 2,
        link,
        durable: Revision(1),
        engine_ms: 1,
    };
    builder.finish(seed, SEGMENT_HEADER_BYTES as u64, fields);
    bytes[SEGMENT_HEADER_BYTES + FRAME_HEAD_BYTES + unit.len() - 1] ^= 1;
    let mut handed = 0;
    let sifted = sift(&bytes, (&header, link), Bounds::default(), &mut |_| {
        handed += 1;
    });
    assert_eq!((handed, sifted.units), (0, 0), "{sifted:?}");
    assert_eq!(sifted.places[0].revisions(), 2, "{sifted:?}");
}

fn sign(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
}
