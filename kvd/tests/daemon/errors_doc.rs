//! `docs/errors.md` lists exactly the reasons of the protocol, each with its code.

use std::collections::BTreeMap;

use kvd::service::status::code_of;
use kvproto::v1::ErrorReason;

/// Reason, and codes as the document writes them.
fn listed() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let text = std::fs::read_to_string(path).expect("docs/errors.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (reason, rest) = row.split_once("` | ")?;
        let (codes, rest) = rest.split_once(" | ")?;
        let (here, meaning) = rest.split_once(" | ")?;
        assert!(["yes", "no"].contains(&here), "{reason}: {here}");
        assert!(meaning.len() > 10, "{reason} is not explained");
        Some((reason.to_owned(), codes.to_owned()))
    })
    .collect()
}

/// The name that the gRPC documentation gives a code.
fn wire_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

#[test]
fn the_document_and_the_protocol_agree() {
    let mut listed = listed();
    for reason in ErrorReason::all() {
        let name = reason.wire_name();
        let codes = listed
            .remove(name)
            .unwrap_or_else(|| panic!("{name} is not listed"));
        let mut expected = wire_name(code_of(reason));
        if reason == ErrorReason::UnknownOutcome {
            expected.push_str(", DEADLINE_EXCEEDED");
        }
        assert_eq!(codes, expected, "{name}");
    }
    assert!(
        listed.is_empty(),
        "listed and not in the protocol: {listed:?}"
    );
}
