//! The caller's deadline.
//!
//! tonic ends a call whose `grpc-timeout` has passed with CANCELLED and no details,
//! which leaves a caller in the dark about a write. So the time is taken when the
//! call arrives, before tonic starts its own timer, and handlers answer first.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// When the caller stops waiting. An extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// The deadline that the headers ask for; `None` without one, or if it is
    /// malformed or beyond what a clock can hold.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline of a request that passed the front.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Instant> {
        request
            .extensions()
            .get::<Self>()
            .map(|deadline| deadline.0)
    }
}

/// At most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "5", "5s", "-5S", "100000000S", "5 S", "ä", "٣S"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
