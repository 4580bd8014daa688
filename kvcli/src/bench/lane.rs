//! A lane: keys of its own, and one operation at a time.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use kvproto::v1::{self, batch_write_operation::Operation, batch_write_result};
use tokio::time::{sleep, timeout};
use tonic::{Request, Status};

use super::{
    content::{self, Numbers},
    outcome::{Kind, Tally},
    worker::Shared,
};
use crate::{
    call::{Caller, no_answer},
    failure::{Failure, Refusal},
};

/// Keys written at a time before measuring.
const FILL_OPERATIONS: usize = 256;
const FILL_BYTES: usize = 1024 * 1024;
/// A timer is not exact to less; the rest is waited for by asking the clock.
const TIMER: Duration = Duration::from_millis(2);
/// After a failure, so that a server that refuses is not flooded.
const PAUSE: Duration = Duration::from_millis(10);

/// What a key must hold: the newest write that was answered, or one after it that
/// was not.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    answered: u64,
    open: Option<u64>,
}

pub(super) struct Lane {
    number: u64,
    lanes: u64,
    caller: Caller,
    shared: Arc<Shared>,
    tally: Arc<Mutex<Tally>>,
    keys: Vec<Held>,
    numbers: Numbers,
    version: u64,
}

impl Lane {
    pub(super) fn new(
        number: u32,
        caller: Caller,
        shared: Arc<Shared>,
        tally: Arc<Mutex<Tally>>,
    ) -> Self {
        let plan = &shared.plan;
        let lanes = u64::from(plan.connections * plan.in_flight);
        let number = u64::from(number);
        let own = (plan.keys - number).div_ceil(lanes);
        let own = usize::try_from(own).unwrap_or(usize::MAX);
        Self {
            number,
            lanes,
            caller,
            tally,
            keys: vec![Held::default(); own],
            numbers: Numbers::new(number),
            version: 1,
            shared,
        }
    }

    /// Fills its keys, waits for the others, and works until it is over.
    pub(super) async fn work(mut self) -> Result<(), Failure> {
        let fill = self.fill().await;
        if fill.is_err() {
            self.shared.end();
        }
        fill?;
        let Some(begin) = self.shared.begins().await else {
            return Ok(());
        };
        let end = begin + self.shared.plan.duration;
        while let Some(number) = self.shared.next() {
            let due = match self.shared.plan.rate {
                None => Instant::now(),
                Some(rate) => {
                    let due = begin + due_after(number, rate);
                    if due < end && !self.wait_until(due).await {
                        break;
                    }
                    due
                }
            };
            if due >= end {
                break;
            }
            self.operation(due).await;
        }
        Ok(())
    }

    /// Waits for the moment of an operation. False if it is over before.
    async fn wait_until(&self, due: Instant) -> bool {
        const LOOK: Duration = Duration::from_millis(50);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if self.shared.is_over() {
                return false;
            }
            match left.checked_sub(TIMER) {
                Some(sleepable) if !sleepable.is_zero() => sleep(sleepable.min(LOOK)).await,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    fn key(&self, at: usize) -> (u64, Vec<u8>) {
        let number = self.number + at as u64 * self.lanes;
        (number, content::key(&self.shared.plan, number))
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        let size = self.shared.plan.value_size;
        let each = size + self.shared.plan.key_size;
        let chunk = (FILL_BYTES / each).clamp(1, FILL_OPERATIONS);
        let mut at = 0;
        while at < self.keys.len() && !self.shared.is_over() {
            let end = self.keys.len().min(at + chunk);
            let operations = (at..end).map(|at| {
                let (number, key) = self.key(at);
                v1::BatchWriteOperation {
                    operation: Some(Operation::Set(v1::SetRequest {
                        key: key.into(),
                        value: content::value(size, number, self.version).into(),
                        ..v1::SetRequest::default()
                    })),
                }
            });
            let request = v1::BatchWriteRequest {
                operations: operations.collect(),
                options: self.shared.call.write_options(),
            };
            let reply = timeout(self.shared.timeout, self.caller.kv.batch_write(request))
                .await
                .map_err(|_| no_answer(self.shared.timeout))?
                .map_err(|status| Failure::from_refusal(Refusal::from_status(&status)))?;
            for result in reply.into_inner().results {
                if let Some(batch_write_result::Result::Error(error)) = result.result {
                    return Err(Failure::from_refusal(Refusal::from_item(&error)));
                }
            }
            for held in &mut self.keys[at..end] {
                held.answered = self.version;
            }
            self.shared
                .filled
                .fetch_add((end - at) as u64, Ordering::Relaxed);
            at = end;
        }
        Ok(())
    }

    /// One read or write of a key of its own.
    async fn operation(&mut self, due: Instant) {
        let at = self.numbers.below(self.keys.len() as u64);
        let at = usize::try_from(at).unwrap_or_default();
        let kind = if self.numbers.below(100) < u64::from(self.shared.plan.reads) {
            Kind::Get
        } else {
            Kind::Set
        };
        let lag = due.elapsed();
        let end = match kind {
            Kind::Get => self.get(at).await,
            Kind::Set => self.set(at).await,
        };
        let took = due.elapsed();
        let failed = end.is_err();
        self.note(kind, end, took, lag);
        if failed {
            if self.caller.lifeline.is_lost() {
                // Who else is on this connection finds out as well.
                self.shared.end();
            }
            sleep(PAUSE).await;
        }
    }

    fn note(&self, kind: Kind, end: Result<Option<String>, String>, took: Duration, lag: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            Ok(None) => {
                tally.took(kind, took, lag);
                self.shared.done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some(wrong)) => tally.wrong(wrong),
            Err(reason) => tally.failure(reason),
        }
    }

    /// What is wrong with the answer, if there is one.
    async fn get(&mut self, at: usize) -> Result<Option<String>, String> {
        let (number, key) = self.key(at);
        let request = v1::GetRequest {
            key: key.into(),
            options: self.shared.call.read_options(),
        };
        let limit = self.shared.timeout;
        let reply = timeout(limit, self.caller.kv.get(within(request, limit)))
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|status| name(&status))?
            .into_inner();
        let held = self.keys[at];
        let wanted = |version| content::value(self.shared.plan.value_size, number, version);
        let Some(record) = reply.record.filter(|_| reply.found) else {
            return Ok(Some(format!("key {number} is gone")));
        };
        let fits = record.value == wanted(held.answered)
            || held.open.is_some_and(|open| record.value == wanted(open));
        Ok((!fits).then(|| format!("key {number} holds something else than was written")))
    }

    async fn set(&mut self, at: usize) -> Result<Option<String>, String> {
        let (number, key) = self.key(at);
        self.version += 1;
        let request = v1::SetRequest {
            key: key.into(),
            value: content::value(self.shared.plan.value_size, number, self.version).into(),
            options: self.shared.call.write_options(),
            ..v1::SetRequest::default()
        };
        let limit = self.shared.timeout;
        let reply = timeout(limit, self.caller.kv.set(within(request, limit))).await;
        let held = &mut self.keys[at];
        match reply {
            Ok(Ok(reply)) if reply.get_ref().applied => {
                *held = Held {
                    answered: self.version,
                    open: None,
                };
                Ok(None)
            }
            Ok(Ok(_)) => Ok(Some(format!("key {number}: a plain write was not applied"))),
            Ok(Err(status)) => {
                if Refusal::from_status(&status).is_undecided() {
                    held.open = Some(self.version);
                }
                Err(name(&status))
            }
            Err(_) => {
                held.open = Some(self.version);
                Err("no answer in time".to_owned())
            }
        }
    }
}

fn within<T>(request: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(request);
    request.set_timeout(limit);
    request
}

/// What failures are counted by.
fn name(status: &Status) -> String {
    Refusal::from_status(status).name()
}

/// When an operation is due, from the beginning.
fn due_after(number: u64, rate: u64) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_at_even_distances() {
        assert_eq!(due_after(0, 100), Duration::ZERO);
        assert_eq!(due_after(1, 100), Duration::from_millis(10));
        assert_eq!(due_after(250, 100), Duration::from_millis(2_500));
        assert_eq!(due_after(2, 3), Duration::from_nanos(666_666_666));
        assert_eq!(due_after(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
