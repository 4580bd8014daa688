//! GetSlowOperations: what took longer than `telemetry.slow_operation`, and where its time
//! went.

use std::time::{Duration, UNIX_EPOCH};

use kvproto::v1;

use super::convert::{limit, require, signed};
use super::core::Core;
use super::status::Refusal;
use crate::backend::Store;
use crate::telemetry::slow::SlowOperation;

impl<S: Store> Core<S> {
    /// In every state: what is slow while loading is of interest too.
    pub(super) fn slow_operations(
        &self,
        request: &v1::GetSlowOperationsRequest,
    ) -> Result<v1::GetSlowOperationsResponse, Refusal> {
        require(&request.require)?;
        let most = limit("limit", request.limit)?.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        let slow = &self.shared.slow;
        Ok(v1::GetSlowOperationsResponse {
            header: Some(self.state_header()),
            threshold_ms: i64::try_from(slow.threshold().as_millis()).unwrap_or(i64::MAX),
            total: signed(slow.total()),
            operations: slow.recent(most).iter().map(message).collect(),
        })
    }
}

fn message(operation: &SlowOperation) -> v1::SlowOperation {
    let ended = operation.ended.duration_since(UNIX_EPOCH);
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let [queue_us, lock_us, append_us, sync_us, rest_us] = operation.parts.map(micros);
    v1::SlowOperation {
        wall_time_ms: ended.map_or(0, |time| {
            i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
        }),
        rpc: operation.rpc.name().to_owned(),
        revision: signed(operation.revision),
        took_us: micros(operation.took),
        queue_us,
        lock_us,
        append_us,
        sync_us,
        rest_us,
        code: operation.code.into(),
    }
}
