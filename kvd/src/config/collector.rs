//! The address of a collector as a setting.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::value::Value;

/// Where traces are sent to: `http://host:port`, unless it is off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collector(Option<String>);

impl Collector {
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// The longest name that there is in DNS.
const NAME_MAX: usize = 253;

impl Value for Collector {
    const KIND: &'static str = "collector or off";
    const UNIT: &'static str = "http://HOST:PORT, or off";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "off" {
            return Ok(Self(None));
        }
        // It may be a secret, and secrets are not told again.
        if text.contains('@') {
            return Err("a user or password has no place in it: expected http://HOST:PORT".into());
        }
        if text.starts_with("https:") {
            return Err(format!(
                "{text:?}: there is no TLS to a collector in this version: write \
                 http://HOST:PORT, of a collector on this machine that sends on with TLS"
            ));
        }
        let address = text
            .strip_prefix("http://")
            .ok_or_else(|| wrong(text, "it does not begin with http://"))?;
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && (!host.contains(':') || host.ends_with(']')))
            .ok_or_else(|| wrong(text, "it has no port"))?;
        if !is_host(host) {
            return Err(wrong(text, "what stands before the port is no host"));
        }
        match port.parse::<u16>() {
            Ok(port @ 1..) => Ok(Self(Some(format!("http://{host}:{port}")))),
            _ => Err(wrong(text, "the port is not a number from 1 to 65535")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("off"))
    }
}

fn wrong(text: &str, why: &str) -> String {
    format!(
        "{text:?} is not a collector: {why}; expected http://HOST:PORT, such as \
         http://127.0.0.1:4317, or off"
    )
}

/// An address, one of IPv6 in brackets, or a name.
fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[') {
        return v6
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(inside)
    };
    host.parse::<Ipv4Addr>().is_ok() || (host.len() <= NAME_MAX && host.split('.').all(label))
}
