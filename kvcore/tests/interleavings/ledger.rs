//! No byte of the log is promised twice, and what is given back is there again.

use loom::sync::Arc;

use crate::base::shared::atomic::{AtomicI64, Ordering};
use crate::log::ledger::Ledger;
use crate::{beside, explore};

const WORTH: u64 = 100;

/// A ledger with one segment to write and one held back, and what is promised of it.
fn ledger() -> Arc<(Ledger, AtomicI64)> {
    let ledger = Ledger::new(WORTH);
    ledger.segment_added();
    ledger.segment_added();
    Arc::new((ledger, AtomicI64::new(0)))
}

fn unit(shared: &(Ledger, AtomicI64), bytes: u64, deletes_only: bool, most: i64) -> bool {
    let (ledger, promised) = shared;
    let Ok(()) = ledger.reserve(bytes, deletes_only) else {
        return false;
    };
    let bytes = i64::try_from(bytes).expect("small");
    let before = promised.fetch_add(bytes, Ordering::SeqCst);
    assert!(before + bytes <= most, "{before} and {bytes} of {most}");
    true
}

#[test]
fn units_that_do_not_fit_together_are_not_both_admitted() {
    explore(|| {
        let shared = ledger();
        let other = beside(&shared, |shared| unit(shared, 60, false, 100));
        let mine = unit(&shared, 60, false, 100);
        let both = (mine, other.join().expect("ended"));
        assert!(both.0 ^ both.1, "one of them fits: {both:?}");
        assert_eq!(shared.0.available(), 140);
    });
}

#[test]
fn what_is_held_back_for_deletes_is_promised_to_nobody_else() {
    explore(|| {
        let shared = ledger();
        let set = beside(&shared, |shared| unit(shared, 60, false, 200));
        let delete = unit(&shared, 150, true, 200);
        let set = set.join().expect("ended");
        assert!(delete || set, "neither");
        let (ledger, promised) = &*shared;
        let left = 200 - promised.load(Ordering::SeqCst);
        assert_eq!(ledger.available(), left);
    });
}

#[test]
fn a_group_gives_back_what_it_did_not_take() {
    explore(|| {
        let shared = ledger();
        shared.0.reserve(60, false).expect("there is room");
        // The writer has written less than was reserved, while another unit asks.
        let writer = beside(&shared, |shared| shared.0.settle(60, 20));
        let more = shared.0.reserve(80, false).is_ok();
        writer.join().expect("ended");
        assert_eq!(shared.0.available(), if more { 100 } else { 180 });
        assert!(more || shared.0.reserve(80, false).is_ok());
    });
}
