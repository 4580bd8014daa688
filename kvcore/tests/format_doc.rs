//! `docs/format.md` says what the code does: its tables are compared with the constants.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use kvcore::base::limits::{KEY_BYTES_CAP, UNIT_BYTES_CAP, UNIT_CHANGES, VALUE_BYTES_CAP};
use kvcore::format::field::Field;
use kvcore::format::frame::{
    FRAME_HEAD_BYTES, FRAME_PAYLOAD_CAP, FRAME_TRAILER_BYTES, FrameKind, GROUP_ALIGN, HEAD_FIELDS,
    SEAL_FIELDS,
};
use kvcore::format::manifest::{
    GAPS_CAP, MANIFEST_BYTES_CAP, MANIFEST_FIELDS, MANIFEST_MAJOR, MANIFEST_MINOR, SNAPSHOTS_CAP,
    TAGS,
};
use kvcore::format::segment_header::{
    HEADER_FIELDS, SEGMENT_HEADER_BYTES, SEGMENT_MAJOR, SEGMENT_MINOR,
};
use kvcore::format::snapshot::{
    BACKUP_END_FIELDS, BLOCK_FIELDS, BLOCK_HEAD_BYTES, BLOCK_PAYLOAD_CAP, BlockKind, END_FIELDS,
    SNAPSHOT_FIELDS, SNAPSHOT_HEADER_BYTES, SNAPSHOT_MAJOR, SNAPSHOT_MINOR,
};
use kvcore::format::unit::{CAUSES, OP_CODES, OUTCOME_BYTES, REQUEST_ID_BYTES, UNIT_KINDS, bits};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> String {
    fs::read_to_string(root().join("docs/format.md")).expect("docs/format.md is there")
}

/// The rows of the first table behind `heading` that has `columns` at its beginning.
fn table(heading: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let document = document();
    let section = document
        .split_once(&format!("\n{heading}\n"))
        .map(|(_, rest)| rest)
        .expect("the heading is there");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let rows: Vec<_> = section
        .lines()
        .skip_while(|line| !(line.starts_with('|') && cells(line).starts_with(&owned(columns))))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| cells(line)[..columns.len()].to_vec())
        .collect();
    assert!(!rows.is_empty(), "no table {columns:?} under {heading}");
    rows
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn assert_layout(heading: &str, fields: &[Field]) {
    let documented = table(heading, &["offset", "size", "field"]);
    let coded: Vec<_> = fields
        .iter()
        .map(|field| {
            vec![
                field.at.to_string(),
                field.bytes.to_string(),
                field.name.to_owned(),
            ]
        })
        .collect();
    assert_eq!(documented, coded, "{heading}");
}

fn assert_numbers(heading: &str, columns: [&str; 2], coded: &[(u64, String)]) {
    let coded: Vec<_> = coded
        .iter()
        .map(|(number, name)| vec![number.to_string(), name.clone()])
        .collect();
    assert_eq!(table(heading, &columns), coded, "{heading} {columns:?}");
}

/// What an enum's variants are called and numbered.
fn numbered<T: Copy + Debug>(all: &[T], number: impl Fn(T) -> u8) -> Vec<(u64, String)> {
    all.iter()
        .map(|&one| (u64::from(number(one)), format!("{one:?}")))
        .collect()
}

#[test]
fn layouts() {
    assert_layout("## Segment header", &HEADER_FIELDS);
    assert_layout("### Head", &HEAD_FIELDS);
    assert_layout("### SEAL payload", &SEAL_FIELDS);
    assert_layout("## MANIFEST", &MANIFEST_FIELDS);
    assert_layout("## Snapshot", &SNAPSHOT_FIELDS);
    assert_layout("### Block", &BLOCK_FIELDS);
    assert_layout("### End", &END_FIELDS);
    assert_layout("### BackupEnd", &BACKUP_END_FIELDS);
}

#[test]
fn codes() {
    let kinds = numbered(&FrameKind::ALL, |kind| kind as u8);
    assert_numbers("### Kinds", ["number", "kind"], &kinds);
    let kinds = numbered(&UNIT_KINDS, |kind| kind as u8);
    assert_numbers("## Unit", ["number", "unit kind"], &kinds);
    let codes = numbered(&OP_CODES, |code| code as u8);
    assert_numbers("## Unit", ["number", "operation"], &codes);
    let causes = numbered(&CAUSES, |cause| cause as u8);
    assert_numbers("## Unit", ["number", "cause"], &causes);
    let bits = bits::ALL.map(|(bit, name)| (u64::from(bit.trailing_zeros()), name.to_owned()));
    assert_numbers("## Unit", ["bit", "field"], &bits);
    let blocks = numbered(&BlockKind::ALL, |kind| kind as u8);
    assert_numbers("### Block", ["number", "block"], &blocks);
    let tags = TAGS.map(|(tag, name)| (u64::from(tag), name.to_owned()));
    assert_numbers("## MANIFEST", ["tag", "field"], &tags);
}

#[test]
fn limits() {
    let group_align = usize::try_from(GROUP_ALIGN).expect("a small number");
    let coded = [
        ("segment header", SEGMENT_HEADER_BYTES),
        ("frame head", FRAME_HEAD_BYTES),
        ("frame trailer", FRAME_TRAILER_BYTES),
        ("frame payload", FRAME_PAYLOAD_CAP),
        ("group alignment", group_align),
        ("key", KEY_BYTES_CAP),
        ("value", VALUE_BYTES_CAP),
        ("operations of a unit", UNIT_CHANGES),
        ("unit, with its length", UNIT_BYTES_CAP),
        ("request id", REQUEST_ID_BYTES),
        ("request outcome", OUTCOME_BYTES),
        ("MANIFEST", MANIFEST_BYTES_CAP),
        ("gaps", GAPS_CAP),
        ("snapshots", SNAPSHOTS_CAP),
        ("snapshot header", SNAPSHOT_HEADER_BYTES),
        ("block head", BLOCK_HEAD_BYTES),
        ("block payload", BLOCK_PAYLOAD_CAP),
    ];
    let coded = coded.map(|(name, value)| vec![name.to_owned(), value.to_string()]);
    assert_eq!(table("## Limits", &["limit", "value"]), coded);
}

#[test]
fn versions() {
    let document = document();
    for (major, minor) in [
        (SEGMENT_MAJOR, SEGMENT_MINOR),
        (MANIFEST_MAJOR, MANIFEST_MINOR),
        (SNAPSHOT_MAJOR, SNAPSHOT_MINOR),
    ] {
        assert!(document.contains(&format!("Format version: **{major}.{minor}**")));
    }
    let newest = table("## Versions", &["version"]).pop();
    assert_eq!(
        newest,
        Some(vec![format!("{SEGMENT_MAJOR}.{SEGMENT_MINOR}")])
    );
}

#[test]
fn golden_files_are_listed() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let mut there: Vec<_> = fs::read_dir(golden)
        .expect("the golden directory is readable")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| vec![format!("`{}`", name.to_string_lossy())])
        .collect();
    let mut listed = table("## Golden files", &["file"]);
    there.sort();
    listed.sort();
    assert_eq!(listed, there);
}
