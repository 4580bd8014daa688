//! Where a server listens: `host:port`, `[ipv6]:port` or `unix:/path`.

use std::{fmt, path::PathBuf, str::FromStr};

/// The place that is tried when none is named.
pub(crate) const DEFAULT: &str = "127.0.0.1:7500";

/// One place to reach a server at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!(
                    "{text:?}: unix: needs an absolute path, as in unix:/run/kvd"
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        if text.contains("://") {
            return Err(format!("{text:?}: write host:port without a scheme"));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("{text:?}: the port is missing, as in {DEFAULT}"))?;
        let port = match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("{text:?}: {port:?} is no port from 1 to 65535")),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!(
                "{text:?}: write an IPv6 address in brackets, as in [::1]:7500"
            ));
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("{text:?}: the host is missing, as in {DEFAULT}"));
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_endpoints_survive_a_round_trip() {
        for text in [
            DEFAULT,
            "db.example:1",
            "[::1]:7500",
            "unix:/run/kvd/kvd.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn bad_endpoints_are_explained() {
        let table = [
            ("localhost", "port is missing"),
            ("localhost:", "no port"),
            ("localhost:0", "no port"),
            ("localhost:65536", "no port"),
            ("localhost:x", "no port"),
            (":7500", "host is missing"),
            ("[]:7500", "host is missing"),
            ("a b:7500", "host is missing"),
            ("::1:7500", "brackets"),
            ("http://localhost:7500", "without a scheme"),
            ("unix:run/kvd", "absolute path"),
            ("", "port is missing"),
        ];
        for (text, part) in table {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
