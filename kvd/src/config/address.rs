//! Addresses as settings.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::value::Value;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    Tcp(SocketAddr),
    /// The absolute path of a Unix-domain socket.
    Unix(PathBuf),
}

/// The longest path that the kernel takes for a socket, in bytes.
const UNIX_PATH_MAX: usize = 107;

impl Address {
    /// Whether only processes of this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The address, if it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            return parse_address(text).map(Self::Tcp);
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(format!(
                "{text:?} is not a socket: expected the absolute path of a file, as in \
                 unix:/run/kvd/kvd.sock"
            ));
        }
        if path.len() > UNIX_PATH_MAX {
            return Err(format!(
                "{text:?}: the path has {} bytes, and the system takes at most {UNIX_PATH_MAX}",
                path.len()
            ));
        }
        // The ready line names it, and lists are separated by commas.
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?}: a path without blanks is needed"));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Places to listen at; at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen(pub Vec<Address>);

impl Value for Listen {
    const KIND: &'static str = "addresses";
    const UNIT: &'static str = "IP:PORT or unix:/PATH, one or a list";

    fn parse(text: &str) -> Result<Self, String> {
        let places = text.split(',').map(|part| Address::parse(part.trim()));
        Ok(Self(places.collect::<Result<_, _>>()?))
    }

    fn show(&self) -> String {
        let places: Vec<String> = self.0.iter().map(Address::to_string).collect();
        places.join(",")
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

/// The mode of a Unix-domain socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(pub u32);

impl Value for Mode {
    const KIND: &'static str = "mode";
    const UNIT: &'static str = "permissions as an octal number";

    fn parse(text: &str) -> Result<Self, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            _ => Err(format!(
                "{text:?} is not a mode: expected an octal number from 0000 to 0777, such as 0660"
            )),
        }
    }

    fn show(&self) -> String {
        format!("{:04o}", self.0)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| {
        format!(
            "{text:?} is not an address: expected IP:PORT, such as 127.0.0.1:7500 or [::1]:7500"
        )
    })
}
