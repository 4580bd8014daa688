//! The outcome that is kept for a repeated request.
//!
//! ```text
//! outcome := varint item       which unit of the request this is
//!            kind u8           1 single, 2 counter, 3 range, 4 transaction
//!            counter:      zigzag varint
//!            range:        varint deleted, more u8
//!            transaction:  branch
//! branch  := succeeded u8, kept u8, [varint count, result*]      kept 0: too many to keep
//! result  := kind u8           0 read, 1 set, 2 delete, 3 counter, 4 expire, 5 range, 6 transaction
//!            delete: deleted u8; expire: found u8, applied u8; the others as above
//! ```
//! Flags are 0 or 1.

use super::FormatError;
use super::cursor::{Cursor, put_varint};
use super::unit::OUTCOME_BYTES;
use crate::base::limits::{NESTING, UNIT_OPERATIONS};
use crate::base::remembered::{RangeCount, Remembered, RememberedBranch, RememberedResult};

/// Most that an outcome other than a transaction's takes.
pub const SMALL_OUTCOME_BYTES: usize = 5 + 1 + 10 + 1;

/// Most that the outcome of a transaction of so many operations takes.
pub const fn outcome_max(operations: usize) -> usize {
    let bytes = SMALL_OUTCOME_BYTES.saturating_add(operations.saturating_mul(RESULT_BYTES));
    if bytes < OUTCOME_BYTES {
        bytes
    } else {
        OUTCOME_BYTES
    }
}

/// Most that one result takes: a kind and a counted range, or a nested branch's head.
const RESULT_BYTES: usize = 1 + 10 + 1;

/// Appends an outcome; a transaction with too many results keeps its branch alone.
pub fn encode_outcome(out: &mut Vec<u8>, item: u32, outcome: &Remembered) {
    let start = out.len();
    put_varint(out, u64::from(item));
    match outcome {
        Remembered::Single => out.push(1),
        Remembered::Counter(value) => {
            out.push(2);
            put_zigzag(out, *value);
        }
        Remembered::Range(count) => {
            out.push(3);
            put_count(out, *count);
        }
        Remembered::Txn(branch) => {
            out.push(4);
            let at = out.len();
            put_branch(out, branch);
            if out.len().saturating_sub(start) > OUTCOME_BYTES {
                out.truncate(at);
                put_branch(
                    out,
                    &RememberedBranch {
                        succeeded: branch.succeeded,
                        results: None,
                    },
                );
            }
        }
    }
}

fn put_branch(out: &mut Vec<u8>, branch: &RememberedBranch) {
    out.push(branch.succeeded.into());
    out.push(branch.results.is_some().into());
    let Some(results) = &branch.results else {
        return;
    };
    put_varint(out, results.len() as u64);
    for result in results {
        match result {
            RememberedResult::Read => out.push(0),
            RememberedResult::Set => out.push(1),
            RememberedResult::Delete(deleted) => out.extend([2, (*deleted).into()]),
            RememberedResult::Counter(value) => {
                out.push(3);
                put_zigzag(out, *value);
            }
            RememberedResult::Expire { found, applied } => {
                out.extend([4, (*found).into(), (*applied).into()]);
            }
            RememberedResult::Range(count) => {
                out.push(5);
                put_count(out, *count);
            }
            RememberedResult::Txn(branch) => {
                out.push(6);
                put_branch(out, branch);
            }
        }
    }
}

fn put_count(out: &mut Vec<u8>, count: RangeCount) {
    put_varint(out, count.deleted);
    out.push(count.more.into());
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Which unit of the request it is, and its outcome.
pub fn decode_outcome(bytes: &[u8]) -> Result<(u32, Remembered), FormatError> {
    let mut cursor = Cursor::new(bytes, 0);
    let item = cursor.varint("outcome item")?;
    FormatError::range("outcome item", 0, item, (0, u64::from(u32::MAX)))?;
    let at = cursor.at();
    let outcome = match cursor.u8("outcome kind")? {
        1 => Remembered::Single,
        2 => Remembered::Counter(zigzag(&mut cursor)?),
        3 => Remembered::Range(count(&mut cursor)?),
        4 => Remembered::Txn(branch(&mut cursor, 0)?),
        kind => return Err(FormatError::UnknownOutcome { kind, at }),
    };
    cursor.finish("outcome")?;
    Ok((u32::try_from(item).unwrap_or(u32::MAX), outcome))
}

fn branch(cursor: &mut Cursor<'_>, depth: usize) -> Result<RememberedBranch, FormatError> {
    FormatError::rule(
        depth <= NESTING,
        "outcome",
        "transactions are nested too deep",
    )?;
    let succeeded = flag(cursor)?;
    if !flag(cursor)? {
        return Ok(RememberedBranch {
            succeeded,
            results: None,
        });
    }
    let at = cursor.at();
    let count = cursor.varint("outcome results")?;
    let most = UNIT_OPERATIONS.min(cursor.left()) as u64;
    FormatError::range("outcome results", at, count, (0, most))?;
    let results = (0..count).map(|_| result(cursor, depth));
    Ok(RememberedBranch {
        succeeded,
        results: Some(results.collect::<Result<_, _>>()?),
    })
}

fn result(cursor: &mut Cursor<'_>, depth: usize) -> Result<RememberedResult, FormatError> {
    let at = cursor.at();
    Ok(match cursor.u8("result kind")? {
        0 => RememberedResult::Read,
        1 => RememberedResult::Set,
        2 => RememberedResult::Delete(flag(cursor)?),
        3 => RememberedResult::Counter(zigzag(cursor)?),
        4 => RememberedResult::Expire {
            found: flag(cursor)?,
            applied: flag(cursor)?,
        },
        5 => RememberedResult::Range(count(cursor)?),
        6 => RememberedResult::Txn(branch(cursor, depth.saturating_add(1))?),
        kind => return Err(FormatError::UnknownOutcome { kind, at }),
    })
}

fn count(cursor: &mut Cursor<'_>) -> Result<RangeCount, FormatError> {
    Ok(RangeCount {
        deleted: cursor.varint("deleted keys")?,
        more: flag(cursor)?,
    })
}

fn zigzag(cursor: &mut Cursor<'_>) -> Result<i64, FormatError> {
    let value = cursor.varint("counter")?;
    Ok((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
}

fn flag(cursor: &mut Cursor<'_>) -> Result<bool, FormatError> {
    let at = cursor.at();
    let value = cursor.u8("flag")?;
    FormatError::range("flag", at, u64::from(value), (0, 1))?;
    Ok(value == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts() -> impl Strategy<Value = RangeCount> {
        (any::<u64>(), any::<bool>()).prop_map(|(deleted, more)| RangeCount { deleted, more })
    }

    fn branches() -> impl Strategy<Value = RememberedBranch> {
        let leaf = prop_oneof![
            Just(RememberedResult::Read),
            Just(RememberedResult::Set),
            any::<bool>().prop_map(RememberedResult::Delete),
            any::<i64>().prop_map(RememberedResult::Counter),
            counts().prop_map(RememberedResult::Range),
            any::<(bool, bool)>()
                .prop_map(|(found, applied)| RememberedResult::Expire { found, applied }),
        ];
        let result = leaf.prop_recursive(3, 40, 6, |inner| {
            (
                any::<bool>(),
                prop::option::of(prop::collection::vec(inner, 0..6)),
            )
                .prop_map(|(succeeded, results)| {
                    RememberedResult::Txn(RememberedBranch { succeeded, results })
                })
        });
        (
            any::<bool>(),
            prop::option::of(prop::collection::vec(result, 0..10)),
        )
            .prop_map(|(succeeded, results)| RememberedBranch { succeeded, results })
    }

    fn outcomes() -> impl Strategy<Value = Remembered> {
        prop_oneof![
            Just(Remembered::Single),
            any::<i64>().prop_map(Remembered::Counter),
            counts().prop_map(Remembered::Range),
            branches().prop_map(Remembered::Txn),
        ]
    }

    proptest! {
        #[test]
        fn outcomes_round_trip_and_no_cut_reads(item: u32, outcome in outcomes()) {
            let mut bytes = Vec::new();
            encode_outcome(&mut bytes, item, &outcome);
            for n in 0..bytes.len() {
                let cut = bytes.get(..n).unwrap_or_default();
                prop_assert!(decode_outcome(cut).is_err());
            }
            prop_assert_eq!(decode_outcome(&bytes), Ok((item, outcome)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((item, outcome)) = decode_outcome(&bytes) {
                let mut again = Vec::new();
                encode_outcome(&mut again, item, &outcome);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn too_many_results_leave_the_branch() {
        let outcome = Remembered::Txn(RememberedBranch {
            succeeded: true,
            results: Some(vec![RememberedResult::Counter(i64::MIN); 1000]),
        });
        let mut bytes = Vec::new();
        encode_outcome(&mut bytes, 7, &outcome);
        assert!(bytes.len() <= OUTCOME_BYTES);
        let kept = Remembered::Txn(RememberedBranch {
            succeeded: true,
            results: None,
        });
        assert_eq!(decode_outcome(&bytes), Ok((7, kept)));
    }

    #[test]
    fn the_outcome_of_a_transaction_fits_its_bound() {
        let range = RememberedResult::Range(RangeCount {
            deleted: u64::MAX,
            more: true,
        });
        for count in [0, 1, 5, 200] {
            let nested = RememberedResult::Txn(RememberedBranch {
                succeeded: true,
                results: Some(vec![range.clone(); count / 2]),
            });
            let mut results = vec![range.clone(); count.div_ceil(2)];
            results.push(nested);
            let outcome = Remembered::Txn(RememberedBranch {
                succeeded: true,
                results: Some(results),
            });
            let mut bytes = Vec::new();
            encode_outcome(&mut bytes, u32::MAX, &outcome);
            assert!(
                bytes.len() <= outcome_max(count + 1),
                "{count}: {}",
                bytes.len()
            );
        }
    }

    #[test]
    fn small_outcomes_fit_their_bound() {
        for outcome in [
            Remembered::Counter(i64::MIN),
            Remembered::Range(RangeCount {
                deleted: u64::MAX,
                more: true,
            }),
        ] {
            let mut bytes = Vec::new();
            encode_outcome(&mut bytes, u32::MAX, &outcome);
            assert!(bytes.len() <= SMALL_OUTCOME_BYTES, "{}", bytes.len());
        }
    }
}
