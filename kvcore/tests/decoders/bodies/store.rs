//! A whole directory: two segments, a snapshot and a MANIFEST, edited, sealed again if that is
//! asked for, then checked, opened and repaired as a plan.
//!
//! ```text
//! input := control u8, edit*        edit := file u8, offset u16, xor u8
//!                                   offset ffff: cut so many bytes off; fffe: add nine;
//!                                   fffd: remove the file
//! ```
//! The files fit each other, so that what is reached lies behind all their checksums: numbers
//! that lie, revisions that jump, counts that are wrong.

#[path = "../../small/simulated.rs"]
mod small;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use kvcore::base::clock::ManualClock;
use kvcore::base::entropy::SeededEntropy;
use kvcore::disk::{Disk, SimDisk};
use kvcore::format::manifest::Manifest;
use kvcore::format::names::{FileName, MANIFEST};
use kvcore::log::writer::Turn;
use kvcore::recovery::check::check_on;
use kvcore::recovery::repair::plan_on;
use kvcore::{Engine, Environment, Mutation, OpenErrorKind, Options, RequestId, Verdict, Way};

use super::budget::at_most;
use super::{RESEAL, resealed};

/// Of everything that is done with a store of four files of 16 KiB, the disk itself included.
const MOST: usize = 48 << 20;

type Files = BTreeMap<String, Vec<u8>>;

fn options() -> Options {
    let mut options = small::options();
    options.snapshots.log_bytes = None;
    options.retain.bytes = 1 << 20;
    options
}

fn environment(disk: &SimDisk) -> Environment {
    Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(5)),
    }
}

/// The store that is edited: made once, the same every time.
fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(1);
        let environment = environment(&disk);
        let (engine, mut writer) =
            Engine::open_manual(options(), &environment).expect("a new store");
        let mut turn = || while writer.turn() == Turn::Worked {};
        for n in 0..30_u64 {
            let key = format!("key{}", n % 7).into_bytes();
            let value = vec![b'a' + u8::try_from(n % 26).expect("small"); 500];
            let request = RequestId {
                id: b"a request",
                fingerprint: 7,
                item: 0,
            };
            let mutation = match n % 5 {
                4 => Mutation::delete(&key),
                _ => Mutation::set(&key, &value),
            };
            let request = (n == 3).then_some(request);
            let prepared = engine.prepare(&mutation, request).expect("within limits");
            let admitted = engine.try_admit(prepared).expect("room");
            drop(engine.commit(admitted));
            if n % 9 == 8 {
                let pair = [
                    Mutation::set(b"one", &value[..40]),
                    Mutation::set(b"other", b""),
                ];
                let prepared = engine.prepare_all(&pair, None).expect("within limits");
                let admitted = engine.try_admit(prepared).expect("room");
                drop(engine.commit_all(admitted));
            }
            engine.fill_spares();
            turn();
            if n == 12 {
                let draft = engine.draft_snapshot(&mut || ()).expect("a snapshot");
                engine.watermark().want_sync(draft.end());
                turn();
                engine.publish_snapshot(draft).expect("published");
            }
        }
        drop(writer);
        drop(engine);
        let files: Files = Disk::list(&disk)
            .expect("lists")
            .into_iter()
            .filter(|entry| !entry.name.ends_with(".kvspare") && !entry.name.ends_with(".kvroom"))
            .map(|entry| {
                let bytes = disk.file_bytes(&entry.name).expect("there");
                (entry.name, bytes)
            })
            .filter(|(name, _)| name != "LOCK")
            .collect();
        assert!(files.len() >= 4, "{:?}", files.keys());
        files
    })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let count = u8::try_from(files().len()).expect("few");
    let mut all = vec![vec![0], vec![RESEAL]];
    for file in 0..count {
        // Fields of heads and of the first frames; each with another bit.
        for offset in [
            8_u16,
            12,
            32,
            40,
            56,
            72,
            80,
            96,
            140,
            4096 + 4,
            4096 + 16,
            4096 + 60,
        ] {
            for control in [0, RESEAL] {
                let [low, high] = offset.to_le_bytes();
                all.push(vec![control, file, low, high, 1]);
            }
        }
    }
    all
}

/// Bytes are changed by xor, so that an edit of nothing changes nothing.
fn edited(input: &[u8]) -> Option<Files> {
    let (control, edits) = input.split_first()?;
    let mut files = files().clone();
    let names: Vec<String> = files.keys().cloned().collect();
    for edit in edits.chunks_exact(4) {
        let &[file, low, high, xor] = edit else {
            continue;
        };
        let name = &names[usize::from(file) % names.len()];
        let bytes = files.get_mut(name)?;
        let at = usize::from(u16::from_le_bytes([low, high]));
        match at {
            0xffff => bytes.truncate(bytes.len() - usize::from(xor) % bytes.len().max(1)),
            0xfffe => bytes.extend(std::iter::repeat_n(xor, 9)),
            0xfffd => drop(files.remove(name)),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= xor;
                }
            }
        }
        if files.len() < names.len() {
            break;
        }
    }
    if control & RESEAL != 0 {
        reseal(&mut files);
    }
    Some(files)
}

/// All files, so that they fit each other as far as checksums and links go.
fn reseal(files: &mut Files) {
    let mut before: Option<resealed::Reached> = None;
    let names: Vec<String> = files.keys().cloned().collect();
    let mut checksums = BTreeMap::new();
    for name in names {
        let bytes = files.get_mut(&name).expect("listed");
        match FileName::parse(&name) {
            FileName::Segment(_) if bytes.len() >= 4096 => {
                if let Some(reached) = before {
                    resealed::put(bytes, 72, &reached.end.to_le_bytes());
                    resealed::put(bytes, 88, &reached.link.to_le_bytes());
                }
                before = resealed::segment(bytes);
            }
            FileName::Snapshot { .. } => {
                if let Some(crc) = resealed::snapshot(bytes, true) {
                    checksums.insert(name, (bytes.len() as u64, crc));
                }
            }
            _ => {}
        }
    }
    let Some(bytes) = files.get_mut(MANIFEST) else {
        return;
    };
    resealed::manifest(bytes);
    if let Ok(mut manifest) = Manifest::decode(bytes) {
        for snapshot in &mut manifest.snapshots {
            if let Some((len, crc)) = checksums.get(&snapshot.name) {
                (snapshot.bytes, snapshot.crc) = (*len, *crc);
            }
        }
        *bytes = manifest.encode();
    }
}

pub(super) fn run(input: &[u8]) {
    let Some(files) = edited(input) else { return };
    at_most(MOST, || examined(&files));
}

fn examined(files: &Files) {
    let disk = SimDisk::new(2);
    for (name, bytes) in files {
        Disk::replace(&disk, name, bytes).expect("an empty disk");
    }
    let dynamic: Arc<dyn Disk> = Arc::new(disk.clone());
    let verdict = check_on(&dynamic).map(|report| {
        assert!(!report.to_string().is_empty());
        report.verdict()
    });
    for way in [Way::Salvage, Way::FromOlderSnapshot] {
        if let Ok(report) = plan_on(&dynamic, way) {
            assert!(!report.to_string().is_empty());
        }
    }
    for (name, bytes) in files {
        let after = disk.file_bytes(name);
        assert!(after.as_ref() == Some(bytes), "{name} was changed");
    }
    let opened = Engine::open_manual(options(), &environment(&disk));
    let (engine, writer) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            if error.kind() == OpenErrorKind::Damaged {
                let sound = matches!(verdict, Ok(Verdict::Clean | Verdict::Torn));
                assert!(
                    !sound,
                    "a check finds nothing, and a start refuses: {error}"
                );
            }
            return;
        }
    };
    let first = content(&engine);
    drop(writer);
    drop(engine);
    let (engine, writer) = Engine::open_manual(options(), &environment(&disk.kill()))
        .expect("it opened once, so it opens again");
    assert!(content(&engine) == first, "two starts, two stores");
    drop(writer);
}

fn content(engine: &Engine) -> BTreeMap<Vec<u8>, (Vec<u8>, u64)> {
    let mut all = BTreeMap::new();
    engine.for_each(|record| {
        let value = (record.value().to_vec(), record.mod_revision().0);
        all.insert(record.key().to_vec(), value);
    });
    all
}
