//! The names of files.

use kvcore::base::revision::Revision;
use kvcore::format::names::{
    FileName, LOCK, MANIFEST, quarantine_name, segment_name, snapshot_name, spare_name,
};

use crate::assert_golden;

#[test]
fn file_names() {
    let (start, end) = (Revision(500_000), Revision(500_100));
    let sequence = 9;
    let offset = 67_108_352;
    let names = [
        (MANIFEST.to_owned(), FileName::Manifest),
        (LOCK.to_owned(), FileName::Lock),
        (segment_name(9), FileName::Segment(9)),
        (spare_name(4), FileName::Spare(4)),
        (
            quarantine_name(sequence, offset),
            FileName::Quarantine { sequence, offset },
        ),
        (snapshot_name(start, end), FileName::Snapshot { start, end }),
    ];
    let lines: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_golden("names.txt", format!("{}\n", lines.join("\n")).as_bytes());
    for (name, kind) in &names {
        assert_eq!(FileName::parse(name), *kind, "{name}");
    }
}
