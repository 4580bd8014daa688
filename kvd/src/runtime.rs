//! One runtime per core, and sockets dealt to them in turn.
//!
//! Measured: a current-thread runtime per core spends a third less CPU per call than
//! one multi-thread runtime, and keeps scaling where that one stops. Connections are
//! dealt by one acceptor, because the kernel's own distribution leaves cores idle
//! when connections are few.
//!
//! Generic over what is served: a bench reuses it for its floor.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use http::{Request, Response};
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tower::Service;

use crate::connection::Socket;
use crate::serve::{Http2, serve};

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    /// Connections end after what they have in flight.
    Drain,
    /// Connections end now.
    Cut,
}

/// The runtimes that serve connections.
#[derive(Debug)]
pub struct Cores {
    dealer: Dealer,
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
}

/// Deals sockets to the runtimes in turn.
#[derive(Clone, Debug)]
pub struct Dealer {
    cores: Arc<[mpsc::UnboundedSender<Socket>]>,
    next: Arc<AtomicUsize>,
}

impl Dealer {
    /// Hands the socket to the next runtime. Once that has stopped, the socket is
    /// closed.
    pub fn deal(&self, socket: Socket) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.cores[turn % self.cores.len()].send(socket);
    }
}

impl Cores {
    /// Starts `count` runtimes. `make` is called once on each, inside it, and so may
    /// spawn what its service needs.
    pub fn start<S>(
        count: usize,
        http2: Http2,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let make = Arc::new(make);
        let stop = watch::Sender::new(Stop::No);
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for core in 0..count.max(1) {
            let (sender, sockets) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (make, stopped) = (Arc::clone(&make), stop.subscribe());
            let thread = thread::Builder::new()
                .name(format!("kvd-core-{core}"))
                .spawn(move || {
                    runtime.block_on(async { run(http2, make(core), sockets, stopped).await });
                    // Ends what a cut has left.
                    drop(runtime);
                })?;
            senders.push(sender);
            threads.push(thread);
        }
        Ok(Self {
            dealer: Dealer {
                cores: senders.into(),
                next: Arc::default(),
            },
            stop,
            threads,
        })
    }

    pub fn dealer(&self) -> Dealer {
        self.dealer.clone()
    }

    /// Asks every connection to end after what it has in flight.
    pub fn drain(&self) {
        self.stop.send_if_modified(|stop| {
            let first = *stop == Stop::No;
            if first {
                *stop = Stop::Drain;
            }
            first
        });
    }

    /// Whether every runtime has ended.
    pub fn ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends every connection now and waits for the threads.
    pub fn cut(self) {
        self.stop.send_replace(Stop::Cut);
        for thread in self.threads {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

async fn run<S>(
    http2: Http2,
    service: S,
    sockets: mpsc::UnboundedReceiver<Socket>,
    mut stop: watch::Receiver<Stop>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let mut drained = stop.clone();
    let drain = async move {
        let _ = drained.wait_for(|stop| *stop >= Stop::Drain).await;
    };
    tokio::select! {
        served = serve(http2, service, sockets, drain) => {
            if let Err(error) = served {
                tracing::error!(%error, "serving has ended");
            }
        }
        // An error means that the sender is gone, which ends the process as well.
        _ = stop.wait_for(|stop| *stop == Stop::Cut) => {}
    }
}
