//! What only several settings together can get wrong.

use super::{Config, ConfigError};

pub(super) fn whole(config: &Config) -> Result<(), ConfigError> {
    loopback_or_allowed(config)?;
    limits_fit(config)
}

/// Nobody has to log in yet, so a listener that others can reach has to be meant.
fn loopback_or_allowed(config: &Config) -> Result<(), ConfigError> {
    let settings = &config.settings;
    if settings.allow_unauthenticated {
        return Ok(());
    }
    match settings.listen.0.iter().find(|at| !at.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => Err(ConfigError(format!(
            "{}: server.listen: {address} can be reached from other machines, and this version \
             has no authentication: listen on a loopback address, or say --allow-unauthenticated",
            config.origin("server.listen")
        ))),
    }
}

/// A batch must be able to hold the largest operation, and the whole of what is in
/// flight the largest batch twice: else the largest could wait for ever.
fn limits_fit(config: &Config) -> Result<(), ConfigError> {
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
    for (key, value, least, what) in pairs {
        if value < least {
            return Err(ConfigError(format!(
                "{}: {key}: {value} bytes are fewer than {what} ({least} bytes)",
                config.origin(key)
            )));
        }
    }
    Ok(())
}
