//! The threads of a bench, and what they share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{Worker, lane::Lane, outcome::Tally, plan::Plan};
use crate::{
    args::CallFlags, call::Caller, connect, failure::Failure, progress::Progress,
    settings::Settings,
};

/// How far all lanes together are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Filling,
    /// All keys are written; nobody measures yet.
    Filled,
    Measuring(Instant),
    Stopped,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) call: CallFlags,
    pub(super) timeout: Duration,
    phase: watch::Sender<Phase>,
    /// Keys written before measuring.
    pub(super) filled: AtomicU64,
    /// Operations begun.
    begun: AtomicU64,
    /// Operations that ended well.
    pub(super) done: AtomicU64,
    over: AtomicBool,
}

impl Shared {
    pub(super) fn new(plan: Plan, settings: &Settings) -> Self {
        Self {
            plan,
            call: settings.call.clone(),
            timeout: settings.timeout,
            phase: watch::channel(Phase::Filling).0,
            filled: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// The next operation's number, if there is one to do.
    pub(super) fn next(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        if self.plan.count.is_some_and(|count| number >= count) {
            self.end();
            return None;
        }
        (!self.is_over()).then_some(number)
    }

    /// No further operation begins.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, at: Instant) {
        self.phase.send_replace(Phase::Measuring(at));
    }

    pub(super) fn stop(&self) {
        self.end();
        self.phase.send_replace(Phase::Stopped);
    }

    /// Waits for the moment at which measuring begins; none if it does not.
    pub(super) async fn begins(&self) -> Option<Instant> {
        let mut phase = self.phase.subscribe();
        let begun = |phase: &Phase| matches!(phase, Phase::Measuring(_) | Phase::Stopped);
        match phase.wait_for(begun).await.as_deref() {
            Ok(Phase::Measuring(at)) => Some(*at),
            _ => None,
        }
    }

    /// Waits until all keys are written. True on Ctrl-C.
    pub(super) async fn phase_until(
        &self,
        wanted: Phase,
        progress: &mut Progress,
    ) -> Result<bool, Failure> {
        let whole = self.plan.keys;
        loop {
            let filled = self.filled.load(Ordering::Relaxed);
            if filled >= whole || self.is_over() {
                self.phase.send_replace(wanted);
                return Ok(false);
            }
            progress.part(filled, whole, &format!("{filled} keys written"));
            tokio::select! {
                () = sleep(Duration::from_millis(10)) => {}
                interrupt = tokio::signal::ctrl_c() => {
                    interrupt.map_err(|e| Failure::usage(format!("cannot wait for Ctrl-C: {e}")))?;
                    self.stop();
                    return Ok(true);
                }
            }
        }
    }
}

/// Starts the threads, each with its connections and their lanes.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Vec<Worker>, Failure> {
    let threads = shared.plan.threads;
    (0..threads)
        .map(|thread| {
            let shared = Arc::clone(shared);
            let work = move || {
                let end = work(&shared, thread);
                if end.is_err() {
                    shared.end();
                }
                end
            };
            thread::Builder::new()
                .name(format!("kvcli-bench-{thread}"))
                .spawn(work)
                .map_err(|error| Failure::usage(format!("cannot start a thread: {error}")))
        })
        .collect()
}

fn work(shared: &Arc<Shared>, thread: u32) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let tally = Arc::new(Mutex::new(Tally::new()?));
    let end = runtime.block_on(lanes(shared, thread, &tally));
    runtime.shutdown_background();
    end?;
    let tally = tally.lock().map_err(|_| Failure::usage("a lane failed"))?;
    Ok(tally.clone())
}

async fn lanes(
    shared: &Arc<Shared>,
    thread: u32,
    tally: &Arc<Mutex<Tally>>,
) -> Result<(), Failure> {
    let plan = &shared.plan;
    let mut lanes = JoinSet::new();
    for connection in (thread..plan.connections).step_by(plan.threads as usize) {
        let (channel, lifeline) = connect::open(&plan.endpoint, shared.timeout)
            .await
            .map_err(Failure::Unreachable)?;
        let caller = Caller::new(channel, lifeline, plan.endpoint.clone(), shared.timeout);
        for slot in 0..plan.in_flight {
            let number = connection * plan.in_flight + slot;
            let lane = Lane::new(
                number,
                caller.clone(),
                Arc::clone(shared),
                Arc::clone(tally),
            );
            lanes.spawn(lane.work());
        }
    }
    while let Some(end) = lanes.join_next().await {
        end.map_err(|_| Failure::usage("a lane failed"))??;
    }
    Ok(())
}
