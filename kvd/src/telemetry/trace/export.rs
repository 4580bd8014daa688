//! Sends what is queued, in batches, from one task of the main runtime.
//!
//! A batch goes when half the queue is full, at the latest every second. One that fails is
//! lost and counted; before the next there is a pause that doubles, in which the queue fills
//! and then drops. At a stop everything queued goes, within `telemetry.otlp_timeout`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::on::{Inner, Loss};
use super::record::Record;
use super::wire;
use crate::backend::Store;
use crate::service::core::Shared;

/// Calls of one batch: with their parts some 600 KiB, where collectors take 4 MiB.
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a failure is told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Of what a collector says is told so much.
const MESSAGE: usize = 200;

/// The task that sends, for whoever ends it.
#[derive(Debug)]
pub(crate) struct Exporting(Option<Running>);

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<Instant>,
    task: JoinHandle<()>,
    limit: Duration,
}

impl Exporting {
    /// Begins to send, if there is anybody to send to. In a runtime.
    pub(crate) fn start<S: Store>(shared: &Arc<Shared<S>>) -> Self {
        let Some(inner) = shared.tracer.inner() else {
            return Self(None);
        };
        let Some(queued) = inner.queued.lock().take() else {
            return Self(None);
        };
        let channel = match channel(inner) {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!(%error, "traces are not sent");
                return Self(None);
            }
        };
        let (stop, stopped) = oneshot::channel();
        // Weak, because the store's threads end when it is dropped.
        let named = Arc::downgrade(shared);
        let exporter = Exporter {
            inner: Arc::clone(inner),
            queued,
            grpc: Grpc::new(channel),
            instance: Box::new(move || {
                let shared = named.upgrade()?;
                let store = shared.store.get()?;
                Some(store.status().store_id)
            }),
            failures: 0,
            complaint: Complaint::default(),
        };
        tracing::info!(collector = %inner.collector, "traces are sent");
        let limit = inner.timeout;
        let task = tokio::spawn(exporter.run(stopped));
        Self(Some(Running { stop, task, limit }))
    }

    /// How long a stop may wait for it.
    pub(crate) fn limit(&self) -> Duration {
        self.0
            .as_ref()
            .map_or(Duration::ZERO, |running| running.limit)
    }

    /// Sends what is left, for so long and no longer.
    pub(crate) async fn finish(self) {
        let Some(Running { stop, task, limit }) = self.0 else {
            return;
        };
        let until = Instant::now() + limit;
        // It may have ended by a panic only, which was told.
        let _ = stop.send(until);
        let _ = task.await;
    }
}

fn channel(inner: &Inner) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(inner.collector.to_string())?;
    let endpoint = endpoint
        .connect_timeout(inner.timeout)
        .user_agent(concat!("kvd/", env!("CARGO_PKG_VERSION")))?;
    Ok(endpoint.connect_lazy())
}

struct Exporter {
    inner: Arc<Inner>,
    queued: mpsc::Receiver<Record>,
    grpc: Grpc<Channel>,
    /// The store's id, once it is known.
    instance: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// In a row.
    failures: u32,
    complaint: Complaint,
}

impl Exporter {
    async fn run(mut self, mut stop: oneshot::Receiver<Instant>) {
        let until = 'running: loop {
            let pause = self.pause();
            let half_full = async {
                // After a failure the pause is kept, however much there is.
                if self.failures > 0 {
                    std::future::pending::<()>().await;
                }
                self.inner.half_full.notified().await;
            };
            tokio::select! {
                biased;
                until = &mut stop => break 'running until.ok(),
                () = half_full => {}
                () = sleep(pause) => {}
            }
            while let Some(batch) = self.take() {
                let sent = timeout(self.inner.timeout, self.send(&batch)).await;
                if !self.note(sent.unwrap_or_else(|_| Err(late())), &batch) {
                    break;
                }
                // A collector that is slow may never see the end of the queue.
                if let Ok(until) = stop.try_recv() {
                    break 'running Some(until);
                }
            }
            self.tell_of_a_full_queue();
        };
        self.end(until.unwrap_or_else(Instant::now)).await;
    }

    /// All that is left, as long as it goes well and there is time.
    async fn end(mut self, until: Instant) {
        while let Some(batch) = self.take() {
            let sent = timeout_at(until, self.send(&batch)).await;
            if !self.note(sent.unwrap_or_else(|_| Err(late())), &batch) {
                break;
            }
        }
        let mut left = 0;
        while let Ok(record) = self.queued.try_recv() {
            left += record.spans();
        }
        if left > 0 {
            self.inner.counts.lose(Loss::Stop, left);
            tracing::warn!(
                spans = left,
                "not sent before the stop: traces are incomplete"
            );
        }
    }

    fn pause(&self) -> Duration {
        let doubled = EVERY.saturating_mul(1 << self.failures.saturating_sub(1).min(10));
        doubled.min(LONGEST_PAUSE)
    }

    fn take(&mut self) -> Option<Vec<Record>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Ok(record) = self.queued.try_recv()
        {
            batch.push(record);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// How many spans the collector did not want.
    async fn send(&mut self, batch: &[Record]) -> Result<u64, String> {
        let mut spans = Vec::with_capacity(batch.len() * 2);
        for record in batch {
            record.write(&mut spans);
        }
        let request = self.request(spans);
        let ready = self.grpc.ready().await;
        ready.map_err(|error| causes(&error))?;
        let codec = ProstCodec::<wire::Request, wire::Response>::default();
        let path = PathAndQuery::from_static(wire::EXPORT);
        let answer = self.grpc.unary(tonic::Request::new(request), path, codec);
        let answer = answer.await.map_err(|status| causes(&status))?.into_inner();
        let Some(partial) = answer.partial_success else {
            return Ok(0);
        };
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
        if rejected > 0 && self.complaint.may_tell() {
            let why = shortened(&partial.error_message);
            tracing::warn!(rejected, why, "the collector refuses spans");
        }
        Ok(rejected)
    }

    fn request(&self, spans: Vec<wire::Span>) -> wire::Request {
        let version = env!("CARGO_PKG_VERSION");
        let mut attributes = vec![
            wire::text("service.name", "kvd"),
            wire::text("service.version", version),
            wire::number("process.pid", u64::from(std::process::id())),
        ];
        if let Some(store) = (self.instance)() {
            attributes.push(wire::text("service.instance.id", store));
        }
        wire::Request {
            resource_spans: vec![wire::ResourceSpans {
                resource: Some(wire::Resource { attributes }),
                scope_spans: vec![wire::ScopeSpans {
                    scope: Some(wire::Scope {
                        name: "kvd".to_owned(),
                        version: version.to_owned(),
                    }),
                    spans,
                }],
            }],
        }
    }

    /// Counts what became of a batch. False: it failed.
    fn note(&mut self, sent: Result<u64, String>, batch: &[Record]) -> bool {
        let spans: u64 = batch.iter().map(Record::spans).sum();
        let counts = &self.inner.counts;
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(spans);
                counts.lose(Loss::Collector, rejected);
                counts.sent.fetch_add(spans - rejected, Ordering::Relaxed);
                if self.failures > 0 && self.complaint.told {
                    self.complaint.told = false;
                    tracing::info!("traces reach the collector again");
                }
                self.failures = 0;
                true
            }
            Err(why) => {
                counts.lose(Loss::Collector, spans);
                self.failures = self.failures.saturating_add(1);
                if self.complaint.may_tell() {
                    let dropped = counts.lost(Loss::Collector) + counts.lost(Loss::Queue);
                    let collector = &self.inner.collector;
                    tracing::warn!(%collector, why, dropped, "traces do not reach the collector");
                }
                false
            }
        }
    }

    fn tell_of_a_full_queue(&mut self) {
        let lost = self.inner.counts.lost(Loss::Queue);
        if lost > self.complaint.queue && self.failures == 0 && self.complaint.may_tell() {
            self.complaint.queue = lost;
            tracing::warn!(
                dropped = lost,
                "more is traced than the collector takes: lower telemetry.otlp_sample"
            );
        }
    }
}

/// What was told of failures, and when.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<Instant>,
    told: bool,
    /// Spans that the queue had dropped.
    queue: u64,
}

impl Complaint {
    fn may_tell(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= TELL_EVERY);
        if due {
            self.last = Some(Instant::now());
            self.told = true;
        }
        due
    }
}

fn late() -> String {
    "no answer within telemetry.otlp_timeout".to_owned()
}

/// An error with what caused it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text.push_str(": ");
        text.push_str(&one.to_string());
        cause = one.source();
    }
    shortened(&text)
}

fn shortened(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(MESSAGE).collect()
}
