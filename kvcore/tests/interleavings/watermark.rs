//! Positions are seen in their order, and whoever waits is told: of the revision, or of the
//! failure.

use std::sync::Arc as Plain;
use std::time::Duration;

use loom::sync::Arc;

use crate::base::revision::Revision;
use crate::log::parker::Sleep;
use crate::log::watermark::{WaitError, Watermark};
use crate::{beside, explore};

const LIMIT: Duration = Duration::from_secs(1);
const FIRST: Revision = Revision(2);

fn watermark() -> Arc<Watermark> {
    Arc::new(Watermark::new(Revision::START))
}

/// The log's writer as the watermark sees it: it sleeps until somebody wants something.
fn write_when_wanted(watermark: &Watermark, write: impl Fn(&Watermark)) {
    watermark.parker().adopt_current();
    while !watermark.is_wanted() {
        let parker = watermark.parker();
        parker.sleep(Sleep::Nap, LIMIT, || watermark.is_wanted());
    }
    write(watermark);
}

fn log_and_sync(watermark: &Watermark) {
    watermark.advance_logged(FIRST);
    watermark.advance_durable(FIRST);
}

#[test]
fn what_is_waited_for_is_written_and_told() {
    for for_durable in [false, true] {
        explore(move || {
            let watermark = watermark();
            let waiter = beside(&watermark, move |watermark| {
                watermark.wait(FIRST, for_durable, LIMIT)
            });
            write_when_wanted(&watermark, log_and_sync);
            assert_eq!(waiter.join().expect("ended"), Ok(()));
            assert!(watermark.logged() == FIRST);
        });
    }
}

#[test]
fn a_failure_ends_every_wait() {
    explore(|| {
        let watermark = watermark();
        let waiter = beside(&watermark, |watermark| watermark.wait(FIRST, true, LIMIT));
        write_when_wanted(&watermark, |watermark| {
            watermark.advance_logged(FIRST);
            // Whoever was woken by that may be waiting again.
            assert!(watermark.logged() == FIRST);
            watermark.fail("the disk is gone");
        });
        let failed = Err(WaitError::Failed(Plain::from("the disk is gone")));
        assert_eq!(waiter.join().expect("ended"), failed);
    });
}

#[test]
fn what_is_durable_is_logged_for_everybody() {
    explore(|| {
        let watermark = watermark();
        let writer = beside(&watermark, log_and_sync);
        let durable = watermark.durable();
        let logged = watermark.logged();
        assert!(durable <= logged, "{durable} is durable, {logged} logged");
        writer.join().expect("ended");
    });
}

#[test]
fn whoever_waits_for_more_than_it_knows_is_told_of_it() {
    explore(|| {
        let watermark = watermark();
        let writer = beside(&watermark, log_and_sync);
        watermark.wait_past(Revision::START, true, LIMIT);
        assert!(watermark.durable() == FIRST);
        writer.join().expect("ended");
    });
}
