//! What only several settings together can get wrong.

use super::{Config, Problem};

pub(super) fn whole(config: &Config, problems: &mut Vec<Problem>) {
    problems.extend(loopback_or_allowed(config));
    problems.extend(limits_fit(config));
    problems.extend(traces_can_be_sent(config));
}

/// Nobody has to log in yet, so a listener that others can reach has to be meant.
fn loopback_or_allowed(config: &Config) -> Option<Problem> {
    let settings = &config.settings;
    if settings.allow_unauthenticated {
        return None;
    }
    let open = settings.listen.0.iter().find(|at| !at.is_local())?;
    let what = format!(
        "{open} can be reached from other machines, and this version has no authentication: \
         listen on a loopback address, or say --allow-unauthenticated"
    );
    let key = "server.listen";
    Some(Problem::new(config.origin(key).clone(), key, what))
}

/// Not every build can.
fn traces_can_be_sent(config: &Config) -> Option<Problem> {
    if cfg!(feature = "otlp") || !config.settings.otlp_endpoint.is_some() {
        return None;
    }
    let key = "telemetry.otlp_endpoint";
    let what = "this kvd was built without OTLP: leave it off, or build one with it (cargo build \
                --release -p kvd --features otlp)";
    Some(Problem::new(config.origin(key).clone(), key, what))
}

/// A batch must be able to hold the largest operation, and the whole of what is in
/// flight the largest batch twice: else the largest could wait for ever.
fn limits_fit(config: &Config) -> Vec<Problem> {
    let settings = &config.settings;
    let largest = settings.key_bytes.0 + settings.value_bytes.0;
    let pairs = [
        (
            "limits.batch_bytes",
            settings.batch_bytes.0,
            largest,
            "limits.key_bytes + limits.value_bytes",
        ),
        (
            "limits.in_flight_bytes",
            settings.in_flight_bytes.0,
            settings.batch_bytes.0.saturating_mul(2),
            "twice limits.batch_bytes",
        ),
    ];
    let small = pairs
        .into_iter()
        .filter(|(_, value, least, _)| value < least);
    small
        .map(|(key, value, least, of)| {
            let what = format!("{value} bytes are fewer than {of} ({least} bytes)");
            Problem::new(config.origin(key).clone(), key, what)
        })
        .collect()
}
