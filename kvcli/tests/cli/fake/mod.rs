//! A small kvd in memory, in this process, on a real socket, that can be told to
//! misbehave.
//!
//! It keeps the semantics that kvcli relies on (revisions, conditions, versions,
//! limits, order of a pipeline) and nothing else. Misbehaviour hangs on a key,
//! so that a test says exactly which operation it hits.

mod service;
mod state;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use kvproto::v1::{
    self, admin_service_server::AdminServiceServer, kv_service_server::KvServiceServer,
};
use tokio::sync::oneshot;
use tonic::transport::Server;

pub(crate) use self::state::Mishap;
use self::{service::Service, state::State};

pub(crate) const VALUE_LIMIT: usize = 1024 * 1024;

/// A handle on a running fake; dropping it stops the server.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address: SocketAddr = listener.local_addr().expect("an address");
        Self::serve(address.to_string(), move |router, died| {
            Box::pin(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                tokio::select! {
                    served = router.serve_with_incoming(incoming) => served.expect("serving"),
                    _ = died => {}
                }
            })
        })
    }

    pub(crate) fn start_unix(path: &Path) -> Self {
        let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("nonblocking");
        Self::serve(format!("unix:{}", path.display()), move |router, died| {
            Box::pin(async move {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
                tokio::select! {
                    served = router.serve_with_incoming(incoming) => served.expect("serving"),
                    _ = died => {}
                }
            })
        })
    }

    fn serve<F>(endpoint: String, serve: F) -> Self
    where
        F: FnOnce(
                tonic::transport::server::Router,
                oneshot::Receiver<()>,
            ) -> Pin<Box<dyn Future<Output = ()>>>
            + Send
            + 'static,
    {
        let (die, died) = oneshot::channel();
        let state = Arc::new(Mutex::new(State {
            revision: 1,
            die: Some(die),
            ..State::default()
        }));
        let service = Service::new(state.clone());
        let thread = thread::Builder::new()
            .name("fake-kvd".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.expect("a runtime").block_on(async move {
                    let kv = KvServiceServer::new(service.clone())
                        .max_decoding_message_size(20 * 1024 * 1024);
                    let router = Server::builder()
                        .add_service(kv)
                        .add_service(AdminServiceServer::new(service));
                    serve(router, died).await;
                });
            });
        Self {
            endpoint,
            state,
            thread: Some(thread.expect("a thread")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics inside")
    }

    pub(crate) fn answer_loading(&self, times: u32) {
        self.state().loading = times;
    }

    pub(crate) fn mishap(&self, key: &str, mishap: Mishap) {
        self.state().mishaps.insert(key.to_owned().into(), mishap);
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.state()
            .records
            .get(key)
            .map(|record| record.value.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.state().records.len()
    }

    /// Keys of the mutations so far, in their order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state()
            .seen
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    /// The write options of the mutations so far.
    pub(crate) fn write_options(&self) -> Vec<v1::WriteOptions> {
        self.state().options.clone()
    }

    /// Most operations that were in the pipeline's queue at a time.
    pub(crate) fn most_ahead(&self) -> usize {
        self.state().most_ahead
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(die) = self.state().die.take() {
            let _ = die.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
