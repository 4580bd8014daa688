//! The newest slow operations, with the parts of their time.

use kvproto::v1;
use serde_json::{Value, json};
use tonic::Code;

use super::{reading::time, sample::Sample};
use crate::{output::Rows, text::show};

pub(super) const HEADER: &[&str] = &[
    "slow", "ago", "took", "queue", "lock", "append", "sync", "rest", "code",
];

/// One of them, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slow {
    operation: v1::SlowOperation,
    /// How long ago it ended, by the server's clock.
    ago_ms: i64,
}

/// Those of a look; how long an operation takes to be one.
pub(super) fn of(sample: &Sample) -> (Vec<Slow>, Option<String>) {
    let Ok(reply) = &sample.slow else {
        return (Vec::new(), None);
    };
    let now = sample.status.wall_time_ms;
    let slow = reply.operations.iter().map(|operation| Slow {
        operation: operation.clone(),
        ago_ms: (now - operation.wall_time_ms).max(0),
    });
    let threshold = match reply.threshold_ms {
        0 => "off".to_owned(),
        threshold => seconds(threshold, 1e3),
    };
    (slow.collect(), Some(threshold))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds(count: i64, per_second: f64) -> String {
    time(count as f64 / per_second)
}

impl Slow {
    fn code(&self) -> String {
        format!("{:?}", Code::from(self.operation.code))
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let slow = &self.operation;
        let mut cells = vec![
            show(slow.rpc.as_bytes()),
            super::reading::spoken(std::time::Duration::from_millis(
                self.ago_ms.cast_unsigned(),
            )),
        ];
        let times = [
            slow.took_us,
            slow.queue_us,
            slow.lock_us,
            slow.append_us,
            slow.sync_us,
            slow.rest_us,
        ];
        cells.extend(times.map(|micros| match micros {
            0 => "-".to_owned(),
            micros => seconds(micros, 1e6),
        }));
        cells.push(self.code());
        cells
    }

    pub(super) fn object(&self) -> Value {
        let slow = &self.operation;
        json!({
            "call": slow.rpc,
            "wall_time_ms": slow.wall_time_ms,
            "revision": slow.revision,
            "took_us": slow.took_us,
            "queue_us": slow.queue_us,
            "lock_us": slow.lock_us,
            "append_us": slow.append_us,
            "sync_us": slow.sync_us,
            "rest_us": slow.rest_us,
            "code": self.code(),
        })
    }
}

pub(super) fn rows(slow: &[Slow]) -> Rows {
    Rows {
        header: HEADER,
        rows: slow.iter().map(Slow::cells).collect(),
    }
}

#[cfg(test)]
pub(super) fn some() -> Vec<Slow> {
    let set = v1::SlowOperation {
        rpc: "Set".to_owned(),
        revision: 7,
        took_us: 81_500,
        queue_us: 1_000,
        lock_us: 250,
        append_us: 20_000,
        sync_us: 60_000,
        rest_us: 250,
        ..v1::SlowOperation::default()
    };
    let scan = v1::SlowOperation {
        rpc: "Scan".to_owned(),
        took_us: 2_000_000,
        rest_us: 2_000_000,
        code: Code::Cancelled.into(),
        ..v1::SlowOperation::default()
    };
    let ago = |operation, ago_ms| Slow { operation, ago_ms };
    vec![ago(set, 90_000), ago(scan, 12_000)]
}
