//! The bytes on disk, held still: what is encoded today equals the files under
//! `tests/golden/v1`, and what those files hold decodes to the same values.
//!
//! A difference here means that stores written by earlier versions are read differently.
//! New files are written by `KVD_WRITE_GOLDEN=1 cargo test -p kvcore --test golden`;
//! an existing one may change only together with the format's version.

mod manifests;
mod names;
mod segments;
mod snapshots;
mod units;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use kvcore::format::StoreId;
use kvcore::format::checksum::Seed;

/// Compares with the golden file, or writes it if that was asked for.
fn assert_golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(name);
    if std::env::var_os("KVD_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, bytes).expect("the golden file is writable");
    }
    let golden = fs::read(&path).expect("the golden file exists; see the top of this test");
    let same = golden.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    assert!(
        golden == bytes,
        "{name}: {} golden bytes, {} encoded, the first difference at {same}\n\
         golden  {:02x?}\nencoded {:02x?}",
        golden.len(),
        bytes.len(),
        golden.get(same..).map(|rest| &rest[..rest.len().min(32)]),
        bytes.get(same..).map(|rest| &rest[..rest.len().min(32)]),
    );
}

const STORE: StoreId = StoreId([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);

const SEED: Seed = Seed {
    salt: 0x1122_3344_5566_7788,
    sequence: 9,
};

#[test]
fn no_golden_file_is_left_unread() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let there: BTreeSet<String> = fs::read_dir(dir)
        .expect("the golden directory is readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let read = segments::headers()
        .map(|(name, _)| name)
        .into_iter()
        .chain(units::all_units().into_iter().map(|(name, _)| name))
        .chain(manifests::manifests().map(|(name, _)| name))
        .chain([
            "frame-data.bin",
            "frame-mark.bin",
            "frame-seal.bin",
            "snapshot.bin",
            "names.txt",
        ])
        .map(str::to_owned);
    assert_eq!(there, read.collect());
}
