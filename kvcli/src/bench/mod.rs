//! `kvcli bench`: load, measured.
//!
//! Invariants:
//! - A store that holds keys is not touched unless asked for; and then only keys under
//!   a prefix that is drawn for this run, which are removed at the end.
//! - Every answer is checked against what this run wrote. Each lane has keys of its
//!   own and one operation at a time, so it knows what a key must hold.
//! - It ends: by time, by count, or by Ctrl-C, and cleans up in each case.
//! - With a rate, time is taken from the moment at which an operation was due, not
//!   from when a lane got round to it: a server that stalls does not hide it.

mod content;
mod lane;
mod outcome;
mod plan;
mod worker;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use kvproto::v1::{self, KeyRange, ServerState, key_range::Range};
use tokio::time::sleep;

pub(crate) use self::plan::Args;
use self::{
    outcome::{Outcome, Report, Tally},
    worker::{Phase, Shared},
};
use crate::{
    call::Caller,
    command::{Answer, Ask, Prepared},
    connect,
    failure::{Exit, Failure, complain},
    metrics::{self, Metrics},
    output::Output,
    progress::Progress,
    settings::Settings,
};

const LOOK: Duration = Duration::from_millis(100);

/// Runs the load and prints what it gave.
pub(crate) async fn run(
    settings: &Settings,
    args: Args,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let mut caller = connect::connect(settings).await?;
    let plan = args.plan(settings, &caller)?;
    let status = status(&mut caller, settings.timeout).await?;
    if status.keys > 0 && !plan.beside_data {
        return Err(Failure::Usage(format!(
            "the store at {} holds {} keys; --beside-data runs beside them, \
             on keys of its own that are removed at the end",
            caller.endpoint, status.keys
        )));
    }
    let shared = Arc::new(Shared::new(plan, settings));
    let end = load(&shared, &mut caller, &status).await;
    let cleaned = clean_up(&shared, &mut caller).await;
    let (outcome, interrupted) = end?;
    let wrong = outcome.tally.wrong;
    let failed = outcome.tally.failed();
    for example in &outcome.tally.examples {
        complain(example);
    }
    output.print(&Report::new(&shared.plan, outcome))?;
    output.flush()?;
    cleaned?;
    if interrupted {
        return Err(Failure::Interrupted(
            ": this is what was measured until then".to_owned(),
        ));
    }
    Ok(match (wrong, failed) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::Refused,
        _ => Exit::Negative,
    })
}

async fn status(caller: &mut Caller, timeout: Duration) -> Result<v1::GetStatusResponse, Failure> {
    let limit = Instant::now() + timeout;
    loop {
        let status = match caller.call(&Prepared::status()).await? {
            Answer::Status(status) => *status,
            _ => return Err(Failure::Undecided("no status came back".to_owned())),
        };
        // Until all is read nobody knows whether the store is empty.
        if status.state != i32::from(ServerState::Loading) {
            return Ok(status);
        }
        if Instant::now() >= limit {
            return Err(Failure::Usage(format!(
                "the server still reads its log after {timeout:?}; wait longer with --timeout"
            )));
        }
        sleep(LOOK).await;
    }
}

/// Fills, measures, and stops. True if Ctrl-C ended it.
async fn load(
    shared: &Arc<Shared>,
    caller: &mut Caller,
    status: &v1::GetStatusResponse,
) -> Result<(Outcome, bool), Failure> {
    let place = shared.plan.metrics.clone();
    let place = place.unwrap_or_else(|| metrics::beside(&caller.endpoint));
    let workers = worker::start(shared)?;
    let mut progress = Progress::of_wait();
    let mut interrupted = shared.phase_until(Phase::Filled, &mut progress).await?;
    let before = Metrics::of(&place, status).await;
    let begin = Instant::now();
    let client = own_cpu();
    if !interrupted {
        shared.begin(begin);
        interrupted = measure(shared, begin, &mut progress).await?;
    }
    shared.stop();
    let elapsed = begin.elapsed();
    let client_cpu = own_cpu().saturating_sub(client);
    let after = Metrics::of(&place, status).await;
    progress.clear();
    let mut tally = Tally::new()?;
    for worker in workers {
        tally.add(
            &worker
                .join()
                .map_err(|_| Failure::usage("a worker failed"))??,
        )?;
    }
    let cpu = |metrics: &Metrics| metrics.get("process_cpu_seconds_total");
    let server_cpu = match (&before, &after) {
        (Ok(before), Ok(after)) => cpu(after).zip(cpu(before)).map(|(a, b)| a - b),
        (Err(error), _) | (_, Err(error)) => {
            if shared.plan.metrics.is_some() {
                complain(&format!("no CPU time of the server: {error}"));
            }
            None
        }
    };
    let outcome = Outcome {
        tally,
        elapsed,
        server_cpu,
        client_cpu,
    };
    Ok((outcome, interrupted))
}

/// Waits for the end of the time or of the operations. True on Ctrl-C.
async fn measure(
    shared: &Shared,
    begin: Instant,
    progress: &mut Progress,
) -> Result<bool, Failure> {
    let plan = &shared.plan;
    loop {
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.map_err(|e| Failure::usage(format!("cannot wait for Ctrl-C: {e}")))?;
                return Ok(true);
            }
            () = sleep(LOOK.min(plan.duration.saturating_sub(begin.elapsed()))) => {}
        }
        let done = shared.done.load(Ordering::Relaxed);
        let elapsed = begin.elapsed();
        let part = |now: u128, whole: u128| u64::try_from(now * 1_000 / whole.max(1));
        let time = part(elapsed.as_millis(), plan.duration.as_millis()).unwrap_or(1_000);
        let count = plan.count.map_or(0, |count| {
            part(u128::from(done), u128::from(count)).unwrap_or(1_000)
        });
        progress.part(time.max(count), 1_000, &format!("{done} operations"));
        if elapsed >= plan.duration || shared.is_over() {
            return Ok(false);
        }
    }
}

/// Removes what this run wrote, and says how if it cannot.
async fn clean_up(shared: &Shared, caller: &mut Caller) -> Result<(), Failure> {
    let plan = &shared.plan;
    if plan.keep {
        complain(&format!("kept: the keys that begin with {}", plan.prefix));
        return Ok(());
    }
    let request = v1::DeleteRangeRequest {
        range: Some(KeyRange {
            range: Some(Range::Prefix(plan.prefix.clone().into())),
        }),
        atomic: Some(false),
        ..v1::DeleteRangeRequest::default()
    };
    let mut progress = Progress::of_wait();
    let prepared = Prepared::unread(Ask::DeleteRange(request));
    // The connection may be gone and the daemon back.
    if caller.lifeline.is_lost() {
        let endpoint = std::slice::from_ref(&plan.endpoint);
        if let Some(new) = connect::first(endpoint, shared.timeout, &mut Vec::new()).await {
            *caller = new;
        }
    }
    let removed = progress.during(caller.call(&prepared)).await;
    if let Err(failure) = &removed {
        complain(&format!(
            "what the bench wrote is still there ({failure}); remove it with: \
             kvcli rm --prefix {} --chunked",
            plan.prefix
        ));
    }
    removed.map(|_| ())
}

/// CPU time of this process.
fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

type Worker = thread::JoinHandle<Result<Tally, Failure>>;
