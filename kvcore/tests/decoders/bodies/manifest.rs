//! The MANIFEST, and names of files.

use kvcore::format::manifest::Manifest;
use kvcore::format::names::{
    FileName, quarantine_name, room_name, segment_name, snapshot_name, spare_name,
};

use super::budget::within;
use super::{RESEAL, SECOND, golden, resealed, split};

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let files = [
        golden!("manifest-open.bin"),
        golden!("manifest-clean.bin"),
        golden!("manifest-gaps-snapshot.bin"),
        golden!("manifest-repaired.bin"),
    ];
    let mut all: Vec<_> = files
        .iter()
        .flat_map(|file| super::input(0, &[file]))
        .collect();
    let names = String::from_utf8_lossy(golden!("names.txt"));
    all.extend(names.lines().map(|name| {
        let mut input = vec![SECOND];
        input.extend_from_slice(name.as_bytes());
        input
    }));
    all
}

pub(super) fn run(input: &[u8]) {
    let Some((control, bytes)) = split(input) else {
        return;
    };
    if control & SECOND != 0 {
        return file_name(&String::from_utf8_lossy(bytes));
    }
    let mut bytes = bytes.to_vec();
    if control & RESEAL != 0 {
        resealed::manifest(&mut bytes);
    }
    if let Ok(manifest) = within(bytes.len(), 3, || Manifest::decode(&bytes)) {
        // A minor is read whatever it is, and written as this version's.
        bytes[10..12].fill(0);
        resealed::manifest(&mut bytes);
        assert_eq!(manifest.encode(), bytes, "another encoding");
        for snapshot in &manifest.snapshots {
            file_name(&snapshot.name);
        }
    }
}

/// A name that means something is the only one that means it.
fn file_name(name: &str) {
    let again = match within(name.len(), 0, || FileName::parse(name)) {
        FileName::Segment(number) => segment_name(number),
        FileName::Spare(number) => spare_name(number),
        FileName::Room(number) => room_name(number),
        FileName::Quarantine { sequence, offset } => quarantine_name(sequence, offset),
        FileName::Snapshot { start, end } => snapshot_name(start, end),
        _ => return,
    };
    assert_eq!(again, name);
}
