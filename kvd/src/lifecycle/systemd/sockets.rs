//! Listening sockets that the service manager has opened for us.
//!
//! `LISTEN_FDS` of them begin at descriptor 3. One that is named `http` in
//! `LISTEN_FDNAMES` (`FileDescriptorName=` of the socket unit) is the HTTP side's; every
//! other is a listener of the gRPC side. They stand in for `server.listen` and
//! `server.http_listen`: those addresses are not bound as well.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::socket::Passed;

/// More than anybody passes; a larger number is a mistake, not a list to build.
const MOST: usize = 64;
const HTTP: &str = "http";

/// The sockets that were passed.
#[derive(Debug, Default)]
pub struct Inherited {
    pub grpc: Vec<Passed>,
    pub http: Option<TcpListener>,
}

impl Inherited {
    /// Takes what is meant for this process; the error says what cannot be used.
    pub(super) fn take() -> Result<Self, String> {
        let text = |name| std::env::var(name).ok();
        let (count, pid) = (text("LISTEN_FDS"), text("LISTEN_PID"));
        let Some(count) = meant(count.as_deref(), pid.as_deref())? else {
            return Ok(Self::default());
        };
        let names = text("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut descriptors = ListenFd::from_env();
        let mut inherited = Self::default();
        for at in 0..count {
            let name = names.get(at).copied().unwrap_or_default();
            let number = at + 3;
            let passed = take(&mut descriptors, at).map_err(|why| {
                format!(
                    "descriptor {number} ({name:?}) from the service manager cannot be used: \
                     {why}; pass listening stream sockets (ListenStream=IP:PORT or /PATH)"
                )
            })?;
            if name != HTTP {
                inherited.grpc.push(passed);
                continue;
            }
            let Passed::Tcp(listener) = passed else {
                return Err(format!(
                    "descriptor {number} from the service manager is named {HTTP} and is not of \
                     TCP: pass ListenStream=IP:PORT"
                ));
            };
            if inherited.http.replace(listener).is_some() {
                return Err(format!(
                    "the service manager passes two descriptors named {HTTP}; there is one HTTP side"
                ));
            }
        }
        Ok(inherited)
    }
}

/// How many descriptors are meant for this process, if any are.
fn meant(count: Option<&str>, pid: Option<&str>) -> Result<Option<usize>, String> {
    let (Some(count), Some(pid)) = (count, pid) else {
        return Ok(None);
    };
    if pid != std::process::id().to_string() {
        return Ok(None);
    }
    match count.parse::<usize>() {
        Ok(count) if count <= MOST => Ok(Some(count)),
        _ => Err(format!(
            "LISTEN_FDS={count} is not a number of descriptors from 0 to {MOST}"
        )),
    }
}

/// The listening socket at a place of the list.
fn take(descriptors: &mut ListenFd, at: usize) -> Result<Passed, String> {
    // One that is not of this kind is left where it is.
    let passed = match descriptors.take_tcp_listener(at) {
        Ok(listener) => listener.map(Passed::Tcp),
        Err(not_tcp) => descriptors
            .take_unix_listener(at)
            .map_err(|_| not_tcp.to_string())?
            .map(Passed::Unix),
    };
    let passed = passed.ok_or("it is not there")?;
    let (listens, nonblocking) = match &passed {
        Passed::Tcp(listener) => usable(&SockRef::from(listener)),
        Passed::Unix(listener) => usable(&SockRef::from(listener)),
    };
    match (listens, nonblocking) {
        (Ok(true), Ok(())) => Ok(passed),
        (Ok(false), _) => Err("it does not listen".to_owned()),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

fn usable(socket: &SockRef<'_>) -> (io::Result<bool>, io::Result<()>) {
    (socket.is_listener(), socket.set_nonblocking(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_process_is_taken() {
        let own = std::process::id().to_string();
        assert_eq!(meant(None, None), Ok(None));
        assert_eq!(meant(Some("2"), None), Ok(None));
        assert_eq!(meant(Some("2"), Some("1")), Ok(None));
        assert_eq!(meant(Some("2"), Some(&own)), Ok(Some(2)));
        for wrong in ["-1", "x", "65", "18446744073709551616"] {
            assert!(meant(Some(wrong), Some(&own)).is_err(), "{wrong}");
        }
    }
}
