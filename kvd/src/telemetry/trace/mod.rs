//! Traces: a span per call, sent to a collector with OTLP. Only in a build with the feature
//! `otlp`; in any other everything here is empty and costs nothing.
//!
//! ```text
//! call begins ─► sampled? ─no─► nothing more
//!                  └─yes─► Span, filled as the call goes on ─► its end ─► bounded queue
//!                                         one task of the main runtime ◄─ batches ┘
//!                                           └─► collector (gRPC), or dropped and counted
//! ```
//! * A span has names, numbers and reasons of fixed lists. Neither keys nor values, nor texts
//!   in which they could be, have a place in it.
//! * A call never waits for any of this: a full queue drops the span and counts it.
//! * What a collector does, or does not, is seen in a metric and in a log line a minute.
//! * While `telemetry.otlp_endpoint` is off, a call pays one comparison.

#[cfg(any(test, feature = "otlp"))]
mod context;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod on;
#[cfg(feature = "otlp")]
mod record;
#[cfg(feature = "otlp")]
mod wire;

#[cfg(not(feature = "otlp"))]
mod off;

#[cfg(not(feature = "otlp"))]
pub(crate) use self::off::{Exporting, Span, Tracer};
#[cfg(feature = "otlp")]
pub(crate) use self::{
    export::Exporting,
    on::{Span, Tracer},
};

/// Why spans did not reach the collector.
pub(super) const LOSSES: [&str; 3] = ["queue", "collector", "stop"];

/// Spans since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) sent: u64,
    /// In the order of [`LOSSES`].
    pub(super) dropped: [u64; LOSSES.len()],
}
