use std::time::Duration;

use super::*;
use crate::driver::{Window, measured, settle};
use crate::floor_map::FloorMap;
use crate::floor_server::in_process;
use crate::shapes::Shape;

const SHORT: Duration = Duration::from_millis(100);
const DRIVE: Drive = Drive::closed(Shape::new(3, 5), 2);

fn load(address: SocketAddr, call: Call) -> Load {
    Load {
        address,
        call,
        generation: 0,
        contents: Arc::new(Contents::new(500, 16, 64).unwrap()),
        truth: Arc::new(Truth::new(500)),
        keys: 0..500,
    }
}

#[test]
fn what_is_filled_and_overwritten_is_read_back() {
    let server = in_process(FloorMap::new());
    let mut sets = load(server.address, Call::SetSynced);
    every_key(&sets, DRIVE).unwrap();
    settle(server.address).unwrap();
    sets.generation = 1;
    let measured = measured(
        sets.clone(),
        DRIVE,
        std::process::id(),
        Window::after(SHORT, SHORT),
    )
    .unwrap();
    assert!(measured.ops > 0 && measured.elapsed >= SHORT);
    assert!(
        measured.latency.len().abs_diff(measured.ops) <= 2 * 15,
        "one window, one count"
    );
    let gets = Load {
        call: Call::Get,
        ..sets
    };
    every_key(&gets, DRIVE).unwrap();
    let generations: Vec<u32> = (0..500).map(|n| gets.truth.get(n)).collect();
    assert!(generations.contains(&1), "nothing was overwritten");
}

#[test]
fn an_absent_a_lost_and_a_wrong_value_are_noticed() {
    let server = in_process(FloorMap::new());
    let gets = load(server.address, Call::Get);
    let error = measured(
        gets.clone(),
        DRIVE,
        std::process::id(),
        Window::after(SHORT, SHORT),
    )
    .err()
    .unwrap()
    .to_string();
    assert!(error.ends_with("is not there"), "{error}");

    let sets = Load {
        call: Call::SetNone,
        ..gets.clone()
    };
    every_key(&sets, DRIVE).unwrap();
    every_key(&gets, DRIVE).unwrap();
    gets.truth.set(77, 1);
    let error = every_key(&gets, DRIVE).unwrap_err().to_string();
    assert_eq!(
        error,
        "key 77 does not hold what was written last (generation 1)"
    );

    gets.truth.set(77, 0);
    server
        .map
        .set(&gets.contents.key(3), &gets.contents.value(4, 0));
    let error = every_key(&gets, DRIVE).unwrap_err().to_string();
    assert!(error.starts_with("key 3 does not hold"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_an_error_at_once() {
    let error = every_key(&load("127.0.0.1:1".parse().unwrap(), Call::Get), DRIVE).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot connect to 127.0.0.1:1"),
        "{error}"
    );
}
