use std::pin::{Pin, pin};

use super::*;
use crate::backend::fake::Fake;

/// A store at revision 1, its waits, and the driver on this runtime.
fn driven() -> (Fake, Arc<Waiters>) {
    let store = Fake::manual();
    let waiters = Waiters::new(Duration::from_secs(30));
    let cell = Arc::new(OnceLock::from(store.clone()));
    tokio::spawn(Arc::clone(&waiters).drive(cell));
    let (listening, of) = (Arc::clone(&waiters), store.clone());
    store.subscribe(Arc::new(move || {
        listening.advanced(of.positions(), of.failure().is_some());
    }));
    (store, waiters)
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_reached_is_ready_at_once() {
    let (store, waiters) = driven();
    store.advance(5, 3);
    assert_eq!(waiters.wait(&store, 3, Level::Durable, None).await, Ok(()));
    assert_eq!(waiters.wait(&store, 5, Level::Logged, None).await, Ok(()));
    assert!(waiters.is_empty());
}

#[tokio::test]
async fn waits_complete_in_revision_order_per_level() {
    let (store, waiters) = driven();
    let order = Arc::new(Mutex::new(Vec::new()));
    for (revision, level) in [
        (9, Level::Durable),
        (4, Level::Durable),
        (7, Level::Logged),
        (5, Level::Durable),
    ] {
        let (store, waiters, order) = (store.clone(), Arc::clone(&waiters), Arc::clone(&order));
        tokio::spawn(async move {
            waiters.wait(&store, revision, level, None).await.unwrap();
            order.lock().push(revision);
        });
    }
    settle().await;
    assert_eq!(waiters.len(), 4);
    store.advance(7, 1);
    settle().await;
    assert_eq!(*order.lock(), [7]);
    store.advance(8, 5);
    settle().await;
    assert_eq!(*order.lock(), [7, 4, 5]);
    store.advance(9, 9);
    settle().await;
    assert_eq!(*order.lock(), [7, 4, 5, 9]);
    assert!(waiters.is_empty());
}

#[tokio::test]
async fn an_advance_that_nobody_waits_for_pokes_nobody() {
    let (store, waiters) = driven();
    let mut wait = pin!(waiters.wait(&store, 9, Level::Durable, None));
    assert!(poll_once(&mut wait).is_pending());
    settle().await;
    store.advance(9, 8);
    assert!(!waiters.poked.load(Ordering::SeqCst));
    store.advance(9, 9);
    assert!(waiters.poked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_failure_ends_what_is_not_durable_and_only_that() {
    let (store, waiters) = driven();
    let mut lost = pin!(waiters.wait(&store, 9, Level::Durable, None));
    let mut kept = pin!(waiters.wait(&store, 3, Level::Durable, None));
    assert!(poll_once(&mut lost).is_pending());
    assert!(poll_once(&mut kept).is_pending());
    store.advance(9, 3);
    store.fail("disk gone");
    assert_eq!(lost.await, Err(Unreached::Failed("disk gone".into())));
    assert_eq!(kept.await, Ok(()));
    let late = waiters.wait(&store, 10, Level::Logged, None).await;
    assert_eq!(late, Err(Unreached::Failed("disk gone".into())));
    settle().await;
    assert!(waiters.is_empty() || waiters.inner.lock().dead > 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_server_limit_and_cut_end_a_wait() {
    let (store, waiters) = driven();
    let deadline = Instant::now().into_std() + Duration::from_millis(50);
    let own = waiters
        .wait(&store, 9, Level::Durable, Some(deadline))
        .await;
    assert_eq!(own, Err(Unreached::Deadline));
    let begun = Instant::now();
    let servers = waiters.wait(&store, 9, Level::Durable, None).await;
    assert_eq!(servers, Err(Unreached::Deadline));
    assert!(
        begun.elapsed() >= Duration::from_secs(29),
        "{:?}",
        begun.elapsed()
    );
    let mut cut = pin!(waiters.wait(&store, 9, Level::Durable, None));
    assert!(poll_once(&mut cut).is_pending());
    waiters.cut();
    assert_eq!(cut.await, Err(Unreached::Cut));
}

#[tokio::test]
async fn waiters_that_go_away_leave_nothing_behind() {
    let (store, waiters) = driven();
    for round in 0..20 {
        for revision in 0..1000 {
            let mut wait = pin!(waiters.wait(&store, 100 + revision, Level::Durable, None));
            assert!(poll_once(&mut wait).is_pending());
        }
        assert!(
            waiters.len() <= 2 * SWEEP_AT,
            "round {round}: {}",
            waiters.len()
        );
    }
    store.advance(2000, 2000);
    settle().await;
    assert!(waiters.is_empty());
    let inner = waiters.inner.lock();
    assert_eq!(inner.free.len(), inner.slots.len());
    assert_eq!(inner.dead, 0);
}

/// The two sides of the picture in the module's documentation, many times over.
#[test]
fn no_wake_up_is_missed_between_threads() {
    let store = Fake::manual();
    let waiters = Waiters::new(Duration::from_secs(30));
    let (listening, of) = (Arc::clone(&waiters), store.clone());
    store.subscribe(Arc::new(move || listening.advanced(of.positions(), false)));
    let rounds = 20_000;
    let (ask, asked) = std::sync::mpsc::channel();
    let log = std::thread::scope(|scope| {
        let advancing = store.clone();
        let log = scope.spawn(move || {
            for revision in asked {
                advancing.advance(revision, revision);
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let cell = Arc::new(OnceLock::from(store.clone()));
            tokio::spawn(Arc::clone(&waiters).drive(cell));
            for revision in 2..rounds {
                ask.send(revision).unwrap();
                let wait = waiters.wait(&store, revision, Level::Durable, None);
                tokio::time::timeout(Duration::from_secs(10), wait)
                    .await
                    .unwrap_or_else(|_| panic!("revision {revision} was never announced"))
                    .unwrap();
            }
            drop(ask);
        });
        log.join()
    });
    log.unwrap();
}

/// A pipeline keeps one place for whatever its front waits for. When an answer left
/// without that wait being polled again, the place was the old front's: nobody was
/// ever woken for the new one.
#[tokio::test]
async fn a_place_taken_for_an_earlier_revision_does_not_stand_for_a_later_one() {
    let (store, waiters) = driven();
    let mut entry = None;
    let mut poll = |revision| {
        let cx = Context::from_waker(Waker::noop());
        waiters.poll_reached(&store, revision, Level::Durable, &mut entry, &cx)
    };
    assert!(poll(3).is_pending());
    assert!(poll(7).is_pending(), "still alive, for another revision");
    assert_eq!(
        waiters.wanted[Level::Durable as usize].load(Ordering::SeqCst),
        3
    );
    store.advance(3, 3);
    settle().await;
    assert!(poll(7).is_pending());
    store.advance(8, 8);
    settle().await;
    assert!(
        poll(9).is_pending(),
        "its place was released: it must take a new one"
    );
    assert_eq!(
        waiters.wanted[Level::Durable as usize].load(Ordering::SeqCst),
        9
    );
    assert_eq!(waiters.len(), 1);
}
