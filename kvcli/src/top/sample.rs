//! One look at a server.

use std::time::{Duration, Instant};

use kvproto::v1::{
    GetSlowOperationsRequest, GetSlowOperationsResponse, GetStatusRequest, GetStatusResponse,
};
use tokio::time::timeout;

use crate::{
    call::Caller,
    connect,
    failure::{Failure, Refusal},
    metrics::{self, Metrics, Place},
    settings::Settings,
};

/// A look takes no longer, so that keys are not left waiting.
const LIMIT: Duration = Duration::from_secs(2);

/// The figures of one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) endpoint: String,
    pub(super) status: GetStatusResponse,
    /// Or why there are none.
    pub(super) metrics: Result<Metrics, String>,
    /// Or why there are none.
    pub(super) slow: Result<GetSlowOperationsResponse, String>,
    /// How long GetStatus took to answer.
    pub(super) round_trip: Duration,
}

pub(super) struct Sampler<'a> {
    settings: &'a Settings,
    caller: Caller,
    metrics: Option<Place>,
    /// Slow operations to ask for.
    slow: u16,
}

impl<'a> Sampler<'a> {
    pub(super) async fn connect(
        settings: &'a Settings,
        metrics: Option<Place>,
        slow: u16,
    ) -> Result<Self, Failure> {
        Ok(Self {
            settings,
            caller: connect::connect(settings).await?,
            metrics,
            slow,
        })
    }

    pub(super) async fn sample(&mut self) -> Result<Sample, Failure> {
        let limit = LIMIT.min(self.settings.timeout);
        if self.caller.lifeline.is_lost() {
            let mut errors = Vec::new();
            let endpoints = &self.settings.endpoints;
            let caller = connect::first(endpoints, limit, &mut errors).await;
            self.caller = caller.ok_or_else(|| Failure::Unreachable(errors.join("; ")))?;
        }
        let begin = Instant::now();
        let request = GetStatusRequest {};
        let status = timeout(limit, self.caller.admin.get_status(request))
            .await
            .map_err(|_| Failure::Unreachable(format!("no status within {limit:?}")))?
            .map_err(|status| Failure::from_refusal(Refusal::from_status(&status)))?
            .into_inner();
        let at = Instant::now();
        let place = self.metrics.clone();
        let place = place.unwrap_or_else(|| metrics::beside(&self.caller.endpoint));
        Ok(Sample {
            at,
            endpoint: self.caller.endpoint.to_string(),
            metrics: Metrics::of(&place, &status).await,
            slow: self.slow(limit).await,
            status,
            round_trip: at - begin,
        })
    }

    /// A server from before them is no reason to show nothing.
    async fn slow(&mut self, limit: Duration) -> Result<GetSlowOperationsResponse, String> {
        if self.slow == 0 {
            return Err("they were not asked for".to_owned());
        }
        let request = GetSlowOperationsRequest {
            limit: self.slow.into(),
            ..GetSlowOperationsRequest::default()
        };
        match timeout(limit, self.caller.admin.get_slow_operations(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::Unimplemented => {
                Err("this server does not tell them".to_owned())
            }
            Ok(Err(status)) => Err(Refusal::from_status(&status).to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}
