//! What kind of operation is at a place of a transaction.

use kvproto::v1::{self, txn_operation::Operation as Op};

/// The field that the operation at `place` is in, such as `increment` for
/// `success[2].txn.failure[0]`.
pub(super) fn kind(request: &v1::TxnRequest, place: &str) -> Option<&'static str> {
    let (step, rest) = match place.split_once(".txn.") {
        Some((step, rest)) => (step, Some(rest)),
        None => (place, None),
    };
    let (list, index) = step.strip_suffix(']')?.split_once('[')?;
    let operations = match list {
        "success" => &request.success,
        "failure" => &request.failure,
        _ => return None,
    };
    let index: usize = index.parse().ok()?;
    let operation = operations.get(index)?.operation.as_ref()?;
    match (operation, rest) {
        (Op::Txn(nested), Some(rest)) => kind(nested, rest),
        (_, Some(_)) => None,
        (Op::Get(_), None) => Some("get"),
        (Op::Set(_), None) => Some("set"),
        (Op::Delete(_), None) => Some("delete"),
        (Op::Increment(_), None) => Some("increment"),
        (Op::Expire(_), None) => Some("expire"),
        (Op::RangeGet(_), None) => Some("range_get"),
        (Op::RangeDelete(_), None) => Some("range_delete"),
        (Op::Txn(_), None) => Some("txn"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_leads_to_its_operation() {
        let step = |operation| v1::TxnOperation {
            operation: Some(operation),
        };
        let inner = v1::TxnRequest {
            failure: vec![step(Op::Increment(v1::IncrementRequest::default()))],
            ..v1::TxnRequest::default()
        };
        let request = v1::TxnRequest {
            success: vec![
                step(Op::Get(v1::GetRequest::default())),
                step(Op::Txn(inner)),
            ],
            ..v1::TxnRequest::default()
        };
        for (place, expected) in [
            ("success[0]", Some("get")),
            ("success[1]", Some("txn")),
            ("success[1].txn.failure[0]", Some("increment")),
            ("success[1].txn.failure[1]", None),
            ("success[0].txn.failure[0]", None),
            ("compares[0]", None),
            ("", None),
        ] {
            assert_eq!(kind(&request, place), expected, "{place}");
        }
    }
}
