//! The way to the service manager: a datagram socket that may never be read.
//!
//! Messages go through a short queue to a task of their own, which waits for the socket
//! when it is full. So a manager that does not answer costs nothing but its messages:
//! nobody who serves waits for it. What is of passing interest (status, signs of life) is
//! only sent if nothing is waiting before it; what marks a step is queued.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Steps that may wait. There are a handful in the life of a process, and two per reload.
const QUEUE: usize = 16;
/// How long the end of the process waits for the last messages to be taken.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where messages go; without a manager nowhere.
#[derive(Debug, Default)]
pub struct Notifier {
    queue: Option<mpsc::Sender<String>>,
    task: Option<JoinHandle<()>>,
}

impl Notifier {
    /// To the socket at `address`: a path, or a name that begins with `@`. Must be called
    /// inside a runtime.
    pub fn to(address: &OsStr) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let task = tokio::spawn(deliver(address.to_owned(), messages));
        Self {
            queue: Some(queue),
            task: Some(task),
        }
    }

    /// A step of the process; lost only if the manager has not read for many of them.
    pub fn step(&self, message: String) {
        if let Some(queue) = &self.queue
            && queue.try_send(message).is_err()
        {
            tracing::warn!("the service manager does not read what it is told");
        }
    }

    /// Something that will be said again: not sent if anything waits.
    pub fn passing(&self, message: String) {
        if let Some(queue) = &self.queue
            && queue.capacity() == QUEUE
        {
            let _ = queue.try_send(message);
        }
    }

    /// Lets what was said last leave, for a moment.
    pub async fn finish(mut self) {
        self.queue = None;
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(LAST_WORDS, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

async fn deliver(address: OsString, mut messages: mpsc::Receiver<String>) {
    let mut socket = None;
    let mut complained = false;
    while let Some(message) = messages.recv().await {
        let sent = match send(&mut socket, &address, &message).await {
            // It may have been replaced by another at the same place.
            Err(_) if socket.take().is_some() => send(&mut socket, &address, &message).await,
            sent => sent,
        };
        if let Err(error) = sent
            && !complained
        {
            complained = true;
            tracing::warn!(
                %error,
                "cannot tell the service manager at {}",
                address.to_string_lossy()
            );
        }
    }
}

async fn send(socket: &mut Option<UnixDatagram>, address: &OsStr, message: &str) -> io::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(connect(address)?),
    };
    socket.send(message.as_bytes()).await.map(drop)
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let to = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = StdDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&to)?;
    UnixDatagram::from_std(socket)
}
