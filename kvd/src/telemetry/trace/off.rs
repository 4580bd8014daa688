//! The same names for a build without the feature `otlp`: nothing is measured, nothing sent.

use std::sync::Arc;
use std::time::Duration;

use kvproto::v1::ErrorReason;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::Figures;
use crate::backend::{Revision, Store};
use crate::config::Settings;
use crate::service::core::Shared;
use crate::telemetry::slow::Parts;
use crate::telemetry::stats::Rpc;

#[derive(Debug)]
pub(crate) struct Tracer;

#[derive(Debug)]
pub(crate) struct Span;

#[derive(Debug)]
pub(crate) struct Exporting;

#[expect(clippy::unused_self, reason = "the other build has use for it")]
impl Tracer {
    pub(crate) const fn new(_: &Settings) -> Self {
        Self
    }

    pub(crate) const fn set_sample(&self, _: f64) {}

    pub(crate) const fn begin(&self, _: Rpc, _: &MetadataMap) -> Span {
        Span
    }

    pub(in crate::telemetry) fn figures(&self) -> Figures {
        Figures::default()
    }
}

#[expect(clippy::unused_self, reason = "the other build has use for it")]
impl Span {
    pub(crate) const fn is_sampled(&self) -> bool {
        false
    }

    pub(crate) fn brings(&mut self, _: impl FnOnce() -> usize) {}

    pub(crate) const fn operations(&mut self, _: u64) {}

    pub(crate) const fn refused(&mut self, _: ErrorReason) {}

    pub(crate) const fn parts(&mut self, _: Parts, _: Revision) {}

    pub(crate) const fn end(&mut self, _: Code, _: Option<Duration>) {}
}

impl Exporting {
    pub(crate) fn start<S: Store>(_: &Arc<Shared<S>>) -> Self {
        Self
    }

    /// How long a stop may wait for it.
    #[expect(clippy::unused_self, reason = "the other build has use for it")]
    pub(crate) const fn limit(&self) -> Duration {
        Duration::ZERO
    }

    #[expect(clippy::unused_async, reason = "the other build waits")]
    pub(crate) async fn finish(self) {}
}
