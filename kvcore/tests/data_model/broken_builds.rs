//! Builds that are broken on purpose in ways that one thread can show; those that need
//! several are in `tests/schedules`.

use kvcore::base::broken::{self, Build};
use kvcore::{Expiry, Mutation};

use crate::support::Store;

/// A reader was shown that a key had expired; the clock is behind after the power cut.
fn shown_as_expired_comes_back() -> bool {
    let mut store = Store::new();
    store
        .write(Mutation::set_until(b"k", b"v", Expiry::After(5_000)))
        .expect("writable");
    store.turn();
    store.clock.advance(5_000);
    let answer = store.engine.look(b"k").expect("a key");
    assert!(answer.value.is_none());
    let revealed = answer.revealed.max(store.remove(&answer.due));
    if revealed > store.engine.watermark().durable() {
        // At level DURABLE the answer waits.
        store.turn();
    }
    store.clock.jump_wall(-3_600_000);
    store.crash().get("k").is_some()
}

#[test]
fn an_expiry_that_bypasses_the_door_is_caught() {
    assert!(broken::with(
        Build::ExpiryWithoutDoor,
        shown_as_expired_comes_back
    ));
    assert!(!shown_as_expired_comes_back(), "the sound build");
}
