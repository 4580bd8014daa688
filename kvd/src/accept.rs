//! Accepting connections: prepare each socket, hold it against the caps, deal it.
//!
//! A process without a free descriptor cannot accept, and so cannot even refuse: the
//! connection would wait in the kernel's queue, its peer would hang, and the listener
//! would stay ready and keep a core busy. So a few descriptors are kept in reserve. One is
//! given up for the moment that it takes to accept the next connection and to close it;
//! then there is a pause, because those that are open need the time to end. Somebody else
//! in the process, such as the thread that prepares log segments, may take that one in
//! this moment: hence a few, and whatever becomes free goes to the reserve first.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::connection::{Caps, Socket};
use crate::runtime::Dealer;
use crate::socket::{BACKLOG, Listener};

/// How long to wait when there are no descriptors or no memory for a connection:
/// trying on at once would only burn the core that should close some.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until dropped.
pub async fn accept(listener: Listener, dealer: Dealer, caps: Arc<Caps>) {
    let mut reserve = Reserve::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if !reserve.is_whole() => {
                caps.refused_descriptors.fetch_add(1, Ordering::Relaxed);
                drop(stream);
                reserve.fill();
            }
            Ok((stream, peer)) => {
                // Over a cap the stream is dropped here, and so closed.
                if let Some(place) = caps.admit(peer.origin()) {
                    tracing::trace!(%peer, "accepted");
                    dealer.deal(Socket {
                        stream,
                        peer,
                        place,
                    });
                }
            }
            Err(error) => {
                caps.accept_errors.fetch_add(1, Ordering::Relaxed);
                if exhausted(&error) {
                    tracing::warn!(%error, "cannot accept connections");
                    let refused = reserve.refuse(&listener).await;
                    caps.refused_descriptors
                        .fetch_add(refused, Ordering::Relaxed);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// Descriptors for hard times.
struct Reserve {
    files: Vec<File>,
    /// How many there were to be had at the start.
    size: usize,
}

impl Reserve {
    const SIZE: usize = 4;

    fn new() -> Self {
        let mut reserve = Self {
            files: Vec::with_capacity(Self::SIZE),
            size: Self::SIZE,
        };
        reserve.fill();
        reserve.size = reserve.files.len();
        reserve
    }

    fn is_whole(&self) -> bool {
        self.files.len() == self.size
    }

    fn fill(&mut self) {
        while !self.is_whole()
            && let Ok(file) = File::open("/dev/null")
        {
            self.files.push(file);
        }
    }

    /// Closes the connections that wait, with the reserve for a descriptor. Returns how
    /// many; none if there was no reserve or nobody waits.
    async fn refuse(&mut self, listener: &Listener) -> u64 {
        // Whoever is in a queue longer than the kernel's comes again.
        let mut refused = 0;
        while refused < BACKLOG.unsigned_abs().into() && self.files.pop().is_some() {
            // What waits is there at once; nobody may wait here without the reserve.
            let next = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
            let closed = matches!(next, Ok(Ok(_)));
            drop(next);
            self.fill();
            if !closed {
                break;
            }
            refused += 1;
        }
        refused
    }
}

fn exhausted(error: &io::Error) -> bool {
    let out_of = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| out_of.contains(&errno))
}
