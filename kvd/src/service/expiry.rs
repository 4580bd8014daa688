//! When a key ends, as asked for on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use kvproto::v1::{self, ErrorReason as Reason, expire_request, expiry::When};

use super::convert::{unknown_number, unsupported};
use super::limits::TTL_MAX_MS;
use super::status::Refusal;
use crate::backend::{Expire, ExpireCondition, Expiry};

/// The expiry of a set, or of a counter that an increment creates.
pub(super) fn expiry(expiry: Option<&v1::Expiry>) -> Result<Expiry, Refusal> {
    let Some(expiry) = expiry else {
        return Ok(Expiry::Never);
    };
    match &expiry.when {
        Some(When::TtlMs(ttl)) => after("expiry.ttl_ms", *ttl),
        Some(When::AtMs(at)) => moment("expiry.at_ms", *at),
        Some(When::Keep(_)) => Ok(Expiry::Keep),
        Some(When::LeaseId(_)) => Err(unsupported(
            "expiry.lease_id",
            "this version has no leases: give a TTL",
        )),
        None => Err(unsupported(
            "expiry",
            "the message is present but says nothing",
        )),
    }
}

/// What an Expire call asks for.
pub(super) fn expire(request: &v1::ExpireRequest) -> Result<Expire, Refusal> {
    use expire_request::Expiry as Asked;
    let to = match &request.expiry {
        Some(Asked::TtlMs(ttl)) => after("ttl_ms", *ttl)?,
        Some(Asked::AtMs(at)) => moment("at_ms", *at)?,
        Some(Asked::Persist(_)) => Expiry::Never,
        None => {
            return Err(unsupported(
                "expiry",
                "none of ttl_ms, at_ms and persist is set: say when the key ends",
            ));
        }
    };
    let condition = match v1::ExpireCondition::try_from(request.condition) {
        Ok(v1::ExpireCondition::Unspecified) => ExpireCondition::Always,
        Ok(v1::ExpireCondition::Nx) => ExpireCondition::IfNone,
        Ok(v1::ExpireCondition::Xx) => ExpireCondition::IfSome,
        Ok(v1::ExpireCondition::Gt) => ExpireCondition::IfLater,
        Ok(v1::ExpireCondition::Lt) => ExpireCondition::IfEarlier,
        Err(_) => return Err(unknown_number("condition", request.condition)),
    };
    Ok(Expire { to, condition })
}

fn after(field: &str, ttl: i64) -> Result<Expiry, Refusal> {
    match u64::try_from(ttl) {
        Ok(ttl @ 1..=TTL_MAX_MS) => Ok(Expiry::After(ttl)),
        _ => Err(bad(
            field,
            &format!("a time to live is 1 to {TTL_MAX_MS} ms, not {ttl}"),
        )),
    }
}

fn moment(field: &str, at: i64) -> Result<Expiry, Refusal> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    let latest = now.saturating_add(TTL_MAX_MS);
    match u64::try_from(at) {
        // A record without expiry shows 0: handed back, it must not remove the key.
        Err(_) | Ok(0) => Err(bad(
            field,
            &format!("a moment is above 0, not {at}; to let a key live for ever, leave it out"),
        )),
        Ok(at) if at > latest => Err(bad(
            field,
            &format!("{at} is more than {TTL_MAX_MS} ms from now"),
        )),
        Ok(at) => Ok(Expiry::At(at)),
    }
}

fn bad(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::BadTtl, format!("{field}: {problem}"))
        .field(field)
        .with("limit", TTL_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(when: When) -> Result<Expiry, Refusal> {
        expiry(Some(&v1::Expiry { when: Some(when) }))
    }

    #[test]
    fn only_times_that_can_come_are_taken() {
        let longest = i64::try_from(TTL_MAX_MS).unwrap();
        assert_eq!(asked(When::TtlMs(1)).unwrap(), Expiry::After(1));
        assert_eq!(
            asked(When::TtlMs(longest)).unwrap(),
            Expiry::After(TTL_MAX_MS)
        );
        assert_eq!(asked(When::AtMs(1)).unwrap(), Expiry::At(1));
        for bad in [
            When::TtlMs(0),
            When::TtlMs(-1),
            When::TtlMs(longest + 1),
            When::TtlMs(i64::MAX),
            When::TtlMs(i64::MIN),
            When::AtMs(0),
            When::AtMs(-1),
            When::AtMs(i64::MAX),
        ] {
            let refusal = asked(bad).unwrap_err();
            assert_eq!(refusal.reason(), Reason::BadTtl, "{bad:?}: {refusal:?}");
        }
    }
}
