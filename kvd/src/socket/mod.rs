//! Sockets of both kinds, TCP and Unix-domain, and who is at the other end.
//!
//! ```text
//! Address ─► Listener ─► (Stream, PeerAddress) ─► Connection
//! ```

mod listener;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use listener::{BACKLOG, Listener, Passed};
pub use stream::{Registered, Stream};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    Tcp(SocketAddr),
    /// What the kernel says of the process that connected; it cannot be forged.
    Unix {
        user: u32,
        /// Unless the process lives in another namespace.
        process: Option<i32>,
    },
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    Address(IpAddr),
    User(u32),
}

impl PeerAddress {
    pub fn origin(&self) -> Origin {
        match self {
            Self::Tcp(address) => Origin::Address(address.ip()),
            Self::Unix { user, .. } => Origin::User(*user),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix {
                user,
                process: Some(process),
            } => write!(f, "unix:uid={user},pid={process}"),
            Self::Unix { user, .. } => write!(f, "unix:uid={user}"),
        }
    }
}
