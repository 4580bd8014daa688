//! kvcore inside another program: a tiny account book that survives anything.
//!
//! `cargo run -p kvcore --example library -- DIRECTORY` (run it twice).

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use kvcore::{Condition, Durability, Engine, Mutation, Options, Revision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args()
        .nth(1)
        .ok_or("name a directory for the store")?;
    let store = Engine::open(Options::new(dir), &|_| ())?;
    println!(
        "revision {}, {} keys",
        store.store_revision(),
        store.status().keys
    );

    // One key, durable when the call returns.
    let opened = Mutation::set(b"book/opened", b"yes").only_if(Condition::Exists(false));
    let first = store.write(opened, Durability::Synced)?;
    println!(
        "{}",
        if first.applied {
            "a new book"
        } else {
            "the book was there"
        }
    );

    // Two keys, both or neither: the balance must still be what was read.
    let balance = store.get(b"balance/ann")?.value;
    let held = balance
        .as_ref()
        .map_or(Revision::NONE, kvcore::Record::mod_revision);
    let amount: u64 = match &balance {
        Some(record) => std::str::from_utf8(record.value())?.parse()?,
        None => 0,
    };
    let (new, line) = ((amount + 10).to_string(), format!("entry/{amount:08}"));
    let outcome = store.write_all(
        &[
            Mutation::set(b"balance/ann", new.as_bytes()).only_if(Condition::ModRevision(held)),
            Mutation::set(line.as_bytes(), b"+10"),
        ],
        Durability::Synced,
    )?;
    match outcome.unmet {
        None => println!("ann has {new}, as of revision {}", outcome.revision),
        Some(unmet) => println!("somebody was faster: {:?}", unmet.current),
    }

    let closed = store.close(Duration::from_secs(10))?;
    println!("closed, clean: {}", closed.clean);
    Ok(())
}
