//! MANIFESTs: open, closed in order, with gaps and a snapshot, repaired.

use kvcore::base::revision::{Gap, Revision};
use kvcore::format::manifest::{ClockPair, Manifest, Repaired, SnapshotRef};
use kvcore::format::names::snapshot_name;

use crate::{STORE, assert_golden};

pub(crate) fn manifests() -> [(&'static str, Manifest); 4] {
    let open = Manifest {
        store_id: STORE,
        generation: 17,
        first_segment: 3,
        newest_segment: 9,
        durable: Revision(999_990),
        gaps: Vec::new(),
        clock: ClockPair {
            engine_ms: 86_400_000,
            wall_ms: 1_700_000_000_000,
        },
        clean: None,
        snapshots: Vec::new(),
        repaired: None,
    };
    let clean = Manifest {
        clean: Some(Revision(999_990)),
        ..open.clone()
    };
    let (start, end) = (Revision(500_000), Revision(500_100));
    let gap = |first, last| Gap {
        first: Revision(first),
        last: Revision(last),
    };
    let full = Manifest {
        gaps: vec![gap(10, 20), gap(300_000, 300_000)],
        snapshots: vec![SnapshotRef {
            name: snapshot_name(start, end),
            bytes: 123_456_789,
            crc: 0xcafe_f00d,
            start,
            end,
            first_segment: 5,
        }],
        ..clean.clone()
    };
    let repaired = Manifest {
        repaired: Some(Repaired {
            wall_ms: 1_700_000_100_000,
            lost: 12,
        }),
        ..full.clone()
    };
    [
        ("manifest-repaired.bin", repaired),
        ("manifest-open.bin", open),
        ("manifest-clean.bin", clean),
        ("manifest-gaps-snapshot.bin", full),
    ]
}

#[test]
fn every_manifest() {
    for (name, manifest) in manifests() {
        let bytes = manifest.encode();
        assert_golden(name, &bytes);
        assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest), "{name}");
    }
}
