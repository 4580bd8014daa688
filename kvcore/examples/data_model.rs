//! The data model in one program: a session that ends, a counter, a lock that is taken in a
//! transaction, a request that may be repeated, and a scan.
//!
//! `cargo run -p kvcore --example data_model -- DIRECTORY` (run it twice).

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use kvcore::{
    Compare, Durability, Engine, Expiry, KeyRange, Mutation, Operator, Options, PageLimit,
    RequestId, Target, Txn, TxnOp,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args()
        .nth(1)
        .ok_or("name a directory for the store")?;
    let store = Engine::open(Options::new(dir), &|_| ())?;

    // A session that ends by itself, whatever happens to the wall clock.
    let session = Mutation::set_until(b"session/ann", b"token", Expiry::After(60_000));
    let record = store.write(session, Durability::Synced)?.record;
    let ends = record.map_or(0, |record| store.expires_at_ms(&record));
    println!("ann's session ends at {ends} ms since 1970");

    // A counter: no read, no lost update.
    let visits = store.write(Mutation::increment(b"visits", 1), Durability::Synced)?;
    println!("visit number {}", visits.value.unwrap_or_default());

    // A lock: taken only if nobody holds it, and given up by itself after ten seconds.
    let take = Txn {
        compares: vec![Compare {
            range: KeyRange::key(b"lock"),
            operator: Operator::Equal,
            target: Target::Exists(false),
        }],
        success: vec![TxnOp::Set {
            key: b"lock",
            value: b"ann",
            expiry: Expiry::After(10_000),
            return_previous: false,
        }],
        failure: vec![TxnOp::Get { key: b"lock" }],
    };
    let taken = store.txn(&take, Durability::Synced)?.branch.succeeded;
    println!("the lock is {}", if taken { "ours" } else { "held" });

    // A request that is sent twice is applied once, also if a restart lies between.
    let payment = RequestId {
        id: b"payment-4711",
        fingerprint: 4711,
        item: 0,
    };
    for _ in 0..2 {
        let credit = Mutation::increment(b"balance/ann", 100);
        let outcome = store.write_once(credit, payment, Durability::Synced)?;
        println!(
            "balance {:?}, replayed: {}",
            outcome.value, outcome.replayed
        );
    }

    // All keys in order, a page at a time; nothing is locked between pages.
    let limit = PageLimit {
        records: 2,
        bytes: 64 << 10,
    };
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = store.page(&KeyRange::all(), after.as_deref(), false, limit)?;
        for record in &page.value.records {
            println!("  {}", String::from_utf8_lossy(record.key()));
        }
        after = page.value.next;
        if after.is_none() {
            break;
        }
    }

    store.close(Duration::from_secs(10))?;
    Ok(())
}
