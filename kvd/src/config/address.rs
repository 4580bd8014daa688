//! Addresses as settings.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::value::Value;

/// Addresses to listen on; at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen(pub Vec<SocketAddr>);

impl Value for Listen {
    const KIND: &'static str = "addresses";
    const UNIT: &'static str = "IP:PORT, one or a list";

    fn parse(text: &str) -> Result<Self, String> {
        let addresses = text
            .split(',')
            .map(|part| parse_address(part.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(addresses))
    }

    fn show(&self) -> String {
        let mut text = String::new();
        for (i, address) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{address}");
        }
        text
    }
}

/// The address of the HTTP side, unless it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenOrOff(pub Option<SocketAddr>);

impl Value for ListenOrOff {
    const KIND: &'static str = "address or off";
    const UNIT: &'static str = "IP:PORT, or off";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self(None)),
            address => parse_address(address).map(|address| Self(Some(address))),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("unix:") {
        return Err(format!(
            "{text}: unix sockets are not built yet; listen on IP:PORT, such as 127.0.0.1:7500"
        ));
    }
    let numeric = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| {
        format!(
            "{text:?} is not an address: expected IP:PORT, such as 127.0.0.1:7500 or [::1]:7500"
        )
    })
}
