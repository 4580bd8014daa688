//! Listening sockets that the service manager has opened for us.
//!
//! `LISTEN_FDS` of them begin at descriptor 3. One that is named `http` in
//! `LISTEN_FDNAMES` (`FileDescriptorName=` of the socket unit) is the HTTP side's; every
//! other is a listener of the gRPC side. They stand in for `server.listen` and
//! `server.http_listen`: those addresses are not bound as well.

use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// More than anybody passes; a larger number is a mistake, not a list to build.
const MOST: usize = 64;
const HTTP: &str = "http";

/// The sockets that were passed.
#[derive(Debug, Default)]
pub struct Inherited {
    pub grpc: Vec<TcpListener>,
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
            let listener = descriptors
                .take_tcp_listener(at)
                .map_err(|e| e.to_string())
                .and_then(|listener| listener.ok_or_else(|| "it is not there".to_owned()))
                .and_then(usable)
                .map_err(|why| {
                    format!(
                        "descriptor {number} ({name:?}) from the service manager cannot be \
                         used: {why}; pass listening TCP sockets (ListenStream=IP:PORT)"
                    )
                })?;
            if name != HTTP {
                inherited.grpc.push(listener);
            } else if inherited.http.replace(listener).is_some() {
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

fn usable(listener: TcpListener) -> Result<TcpListener, String> {
    let socket = SockRef::from(&listener);
    match socket.is_listener() {
        Ok(true) => {}
        Ok(false) => return Err("it does not listen".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    Ok(listener)
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
