//! What is remembered of a request.

use kvcore::base::remembered::{RangeCount, Remembered, RememberedBranch, RememberedResult};
use kvcore::format::outcome::{decode_outcome, encode_outcome};
use kvcore::format::unit::OUTCOME_BYTES;

use super::budget::within;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let range = RememberedResult::Range(RangeCount {
        deleted: 300,
        more: true,
    });
    let inner = RememberedBranch {
        succeeded: false,
        results: Some(vec![RememberedResult::Counter(-7), range.clone()]),
    };
    let branch = RememberedBranch {
        succeeded: true,
        results: Some(vec![
            RememberedResult::Read,
            RememberedResult::Set,
            RememberedResult::Delete(true),
            RememberedResult::Expire {
                found: true,
                applied: false,
            },
            range,
            RememberedResult::Txn(inner),
        ]),
    };
    let outcomes = [
        Remembered::Single,
        Remembered::Counter(i64::MIN),
        Remembered::Range(RangeCount {
            deleted: 4096,
            more: false,
        }),
        Remembered::Txn(branch),
    ];
    let encoded = outcomes.iter().map(|outcome| {
        let mut bytes = Vec::new();
        encode_outcome(&mut bytes, 3, outcome);
        bytes
    });
    encoded.collect()
}

/// The whole input is the outcome: nothing protects it but the frame around it. No unit
/// holds a longer one.
pub(super) fn run(input: &[u8]) {
    let bytes = input.get(..OUTCOME_BYTES).unwrap_or(input);
    // A result of one byte takes a slot of 32 in a list that doubles as it grows.
    let decoded = within(bytes.len(), 64, || decode_outcome(bytes));
    if let Ok((item, outcome)) = decoded {
        let mut again = Vec::new();
        encode_outcome(&mut again, item, &outcome);
        assert_eq!(again, bytes, "another encoding");
    }
}
