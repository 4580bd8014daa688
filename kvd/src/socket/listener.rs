//! Listening at a place.
//!
//! The file of a Unix-domain socket stays behind when its process is killed. So what is
//! found at the path is asked first: a socket that nobody answers at is replaced, one
//! that answers is another daemon's, and a file of another kind is never touched. The
//! file is removed at the end only if it is still this listener's.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::{PeerAddress, Stream};
use crate::config::{Address, Mode};

/// Connections that the kernel keeps until they are accepted.
pub const BACKLOG: i32 = 1024;
/// When the kernel asks whether a silent peer is still there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// A listening socket that somebody else has opened.
#[derive(Debug)]
pub enum Passed {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket of either kind.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Not of a socket that was passed: its file is not ours.
        file: Option<SocketFile>,
    },
}

impl Listener {
    /// Listens at `address`; the file of a Unix-domain socket gets `mode`. Must be called
    /// inside a runtime.
    pub fn bind(address: &Address, mode: Mode) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Self::tcp(*address),
            Address::Unix(path) => Self::unix(path, mode),
        }
    }

    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = RawSocket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        begin(&socket)?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())?))
    }

    fn unix(path: &Path, mode: Mode) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        // Before anybody can connect.
        fs::set_permissions(path, Permissions::from_mode(mode.0))?;
        begin(&socket)?;
        Ok(Self::Unix {
            listener: UnixListener::from_std(socket.into())?,
            file: Some(file),
        })
    }

    /// Goes on with what somebody else has opened.
    pub fn adopt(passed: Passed) -> io::Result<Self> {
        Ok(match passed {
            Passed::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Passed::Unix(listener) => Self::Unix {
                listener: UnixListener::from_std(listener)?,
                file: None,
            },
        })
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix { listener, .. } => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new("@"));
                Ok(Address::Unix(path.into()))
            }
        }
    }

    /// The next connection, prepared, and who it is.
    pub async fn accept(&self) -> io::Result<(Stream, PeerAddress)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Who is gone already is found out by reading.
                let _ = prepare(&stream);
                let stream = Stream::Tcp(stream.into_std()?);
                Ok((stream, PeerAddress::Tcp(address)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let peer = PeerAddress::Unix {
                    user: credentials.uid(),
                    process: credentials.pid(),
                };
                Ok((Stream::Unix(stream.into_std()?), peer))
            }
        }
    }
}

fn begin(socket: &RawSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Removes a socket at `path` that nobody listens at.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let what = "a file that is not a socket has this path: move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// The file of a socket that this process has bound; removed when dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
