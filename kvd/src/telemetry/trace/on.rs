//! The tracer of one daemon, and the span of a call while the call goes on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvproto::v1::ErrorReason;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::context;
use super::record::Record;
use super::{Figures, LOSSES};
use crate::backend::Revision;
use crate::config::{Collector, Settings};
use crate::telemetry::slow::{Measuring, Parts};
use crate::telemetry::stats::Rpc;

/// Calls that wait to be sent; half of them wake who sends.
const QUEUE: usize = 4096;

/// Decides which calls are traced, and takes their spans.
#[derive(Debug)]
pub(crate) struct Tracer(Option<Arc<Inner>>);

pub(super) struct Inner {
    pub(super) collector: Collector,
    pub(super) timeout: Duration,
    /// Of 2^63.
    share: AtomicU64,
    queue: mpsc::Sender<Record>,
    /// For who sends; taken once.
    pub(super) queued: Mutex<Option<mpsc::Receiver<Record>>>,
    pub(super) half_full: Notify,
    pub(super) counts: Counts,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("collector", &self.collector)
            .finish_non_exhaustive()
    }
}

/// Spans, in the order of [`LOSSES`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    dropped: [AtomicU64; LOSSES.len()],
}

/// Places in [`LOSSES`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    Queue,
    Collector,
    Stop,
}

impl Counts {
    pub(super) fn lose(&self, why: Loss, spans: u64) {
        self.dropped[why as usize].fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, why: Loss) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }
}

impl Tracer {
    pub(crate) fn new(settings: &Settings) -> Self {
        let collector = &settings.otlp_endpoint;
        Self(collector.is_some().then(|| {
            let (queue, queued) = mpsc::channel(QUEUE);
            Arc::new(Inner {
                collector: collector.clone(),
                timeout: settings.otlp_timeout,
                share: AtomicU64::new(context::share(settings.otlp_sample.0)),
                queue,
                queued: Mutex::new(Some(queued)),
                half_full: Notify::new(),
                counts: Counts::default(),
            })
        }))
    }

    pub(super) fn inner(&self) -> Option<&Arc<Inner>> {
        self.0.as_ref()
    }

    pub(crate) fn set_sample(&self, ratio: f64) {
        if let Some(inner) = &self.0 {
            inner.share.store(context::share(ratio), Ordering::Relaxed);
        }
    }

    pub(crate) fn begin(&self, rpc: Rpc, metadata: &MetadataMap) -> Span {
        Span(self.0.as_ref().and_then(|inner| inner.begin(rpc, metadata)))
    }

    pub(in crate::telemetry) fn figures(&self) -> Figures {
        let Some(inner) = &self.0 else {
            return Figures::default();
        };
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            sent: load(&inner.counts.sent),
            dropped: std::array::from_fn(|at| load(&inner.counts.dropped[at])),
        }
    }
}

impl Inner {
    fn begin(self: &Arc<Self>, rpc: Rpc, metadata: &MetadataMap) -> Option<Box<Sampled>> {
        let context = context::of_call(metadata, self.share.load(Ordering::Relaxed))?;
        Some(Box::new(Sampled {
            tracer: Arc::clone(self),
            record: Record::new(context, rpc),
            _measuring: (!is_stream(rpc)).then(Measuring::begin),
        }))
    }

    fn put(&self, record: Record) {
        if let Err(full) = self.queue.try_send(record) {
            self.counts.lose(Loss::Queue, full.into_inner().spans());
        }
        // Who sends looks at the queue at times; waking it for every span would cost more
        // than the span.
        if self.queue.capacity() < QUEUE / 2 {
            self.half_full.notify_one();
        }
    }
}

/// The span of a call in flight; of most there is none.
#[derive(Debug)]
pub(crate) struct Span(Option<Box<Sampled>>);

#[derive(Debug)]
struct Sampled {
    tracer: Arc<Inner>,
    record: Record,
    /// Commits are measured as long as a call is looked at whose own they may be.
    _measuring: Option<Measuring>,
}

/// A stream lasts as its client likes, and its operations are not looked at one by one.
const fn is_stream(rpc: Rpc) -> bool {
    matches!(
        rpc,
        Rpc::Pipeline | Rpc::Scan | Rpc::Watch | Rpc::Backup | Rpc::Verify
    )
}

impl Span {
    pub(crate) const fn is_sampled(&self) -> bool {
        self.0.is_some()
    }

    fn with(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(sampled) = &mut self.0 {
            change(&mut sampled.record);
        }
    }

    /// How many bytes the request has; asked only if somebody wants to know.
    pub(crate) fn brings(&mut self, bytes: impl FnOnce() -> usize) {
        self.with(|record| record.request_bytes = Some(bytes()));
    }

    /// Operations of a stream, all in all.
    pub(crate) fn operations(&mut self, operations: u64) {
        self.with(|record| record.operations = Some(operations));
    }

    pub(crate) fn refused(&mut self, reason: ErrorReason) {
        self.with(|record| record.reason = Some(reason));
    }

    /// What its time went into, and the revision that it was about.
    pub(crate) fn parts(&mut self, parts: Parts, revision: Revision) {
        self.with(|record| {
            record.parts = parts;
            record.revision = revision;
        });
    }

    /// Ends the span; without a time it took as long as it has been there.
    pub(crate) fn end(&mut self, code: Code, took: Option<Duration>) {
        let Some(sampled) = self.0.take() else {
            return;
        };
        let mut record = sampled.record;
        record.code = code;
        record.took = took.unwrap_or_else(|| record.started.elapsed().unwrap_or_default());
        sampled.tracer.put(record);
    }
}
