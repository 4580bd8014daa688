//! Counters, expiry, conditions and transactions, over the embedded engine.

mod conditions;
mod each_way;
mod expiry;
mod transactions;

/// A moment that no test lives to see, as a client would compute it.
fn far() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap() + 3_600_000
}
