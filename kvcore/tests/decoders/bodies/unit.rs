//! The payload of a frame: units, their operations, and the request that made them.

use kvcore::format::outcome::decode_outcome;
use kvcore::format::unit::{check_units, encode_unit, units};

use super::budget::within;
use super::{RESEAL, golden, outcome, split};

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        golden!("unit-set.bin"),
        golden!("unit-set-every-field.bin"),
        golden!("unit-set-empty-value.bin"),
        golden!("unit-delete.bin"),
        golden!("unit-delete-range.bin"),
        golden!("unit-delete-expired.bin"),
        golden!("unit-delete-evicted.bin"),
        golden!("unit-metadata.bin"),
        golden!("unit-request.bin"),
        golden!("unit-txn.bin"),
    ]
    .iter()
    .flat_map(|file| super::input(0, &[file]))
    .collect()
}

pub(super) fn run(input: &[u8]) {
    let Some((control, bytes)) = split(input) else {
        return;
    };
    let mut payload = bytes.to_vec();
    if control & RESEAL != 0 && payload.len() >= 4 {
        let len = u32::try_from(payload.len() - 4).expect("a small input");
        payload[..4].copy_from_slice(&len.to_le_bytes());
    }
    let len = payload.len();
    let sound = within(len, 0, || units(&payload).map_while(Result::ok).count());
    let mut again = Vec::new();
    for unit in units(&payload).take(sound) {
        let unit = unit.expect("it was sound before");
        assert_eq!(unit.ops().count(), unit.ops().len());
        encode_unit(&mut again, unit.kind, unit.request, unit.ops());
        if let Some(tag) = unit.request
            && decode_outcome(tag.outcome).is_ok()
        {
            outcome::run(tag.outcome);
        }
    }
    assert_eq!(payload[..again.len()], again, "another encoding");
    let count = u32::try_from(sound).expect("a small input");
    let whole = within(len, 0, || check_units(&payload, count));
    assert_eq!(whole.is_ok(), again.len() == len, "{whole:?}");
    assert!(check_units(&payload, count + 1).is_err());
}
