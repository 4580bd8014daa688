use std::time::Duration;

use super::*;
use crate::driver::{Drive, to_the_end};
use crate::floor_map::FloorMap;
use crate::floor_server::in_process;
use crate::shapes::Shape;

const KEYS: u32 = 500;

fn once(target: &Target, mix: Mix, generation: u32) -> Result<()> {
    let single = Single {
        target: target.clone(),
        mix,
        choice: Choice::InOrder(Arc::default()),
        keys: 0..KEYS,
        generation,
    };
    let drive = Drive::closed(Shape::new(2, 8), 1);
    to_the_end(single, drive, Duration::from_secs(60))
}

#[test]
fn reads_see_what_was_acknowledged_or_what_the_run_writes_and_nothing_else() {
    let server = in_process(FloorMap::new());
    let contents = Arc::new(Contents::new(KEYS, 16, 64).unwrap());
    let target = Target {
        protocol: Protocol::Kvd,
        address: server.address,
        durability: v1::Durability::Synced,
        contents: Arc::clone(&contents),
        truth: Arc::new(Truth::new(KEYS)),
    };
    let error = once(&target, Mix::READ, 0).unwrap_err().to_string();
    assert!(error.contains("is not there"), "{error}");
    once(&target, Mix::WRITE, 0).unwrap();
    once(&target, Mix::READ, 1).unwrap();
    let update = Mix {
        writes: 50,
        read_first: true,
    };
    once(&target, update, 1).unwrap();
    once(&target, Mix::READ, 2).unwrap();
    // Somebody else writes: what the run does not write itself is not excused.
    server.map.set(&contents.key(7), &contents.value(7, 9));
    let error = once(&target, Mix::READ, 9).unwrap_err().to_string();
    assert!(error.contains("key 7 does not hold"), "{error}");
}

#[test]
fn a_write_that_is_less_durable_than_asked_for_is_an_error() {
    let target = |durability| Target {
        protocol: Protocol::Kvd,
        address: "127.0.0.1:1".parse().unwrap(),
        durability,
        contents: Arc::new(Contents::new(1, 1, 0).unwrap()),
        truth: Arc::new(Truth::new(1)),
    };
    let mut reply = v1::SetResponse {
        header: Some(v1::ResponseHeader::default()),
        applied: true,
        revision: 2,
        ..v1::SetResponse::default()
    };
    assert!(target(v1::Durability::Logged).applied(&reply, 0).is_ok());
    assert!(target(v1::Durability::Synced).applied(&reply, 0).is_err());
    reply.applied = false;
    assert!(target(v1::Durability::Logged).applied(&reply, 0).is_err());
}
