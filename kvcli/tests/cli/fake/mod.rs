//! A small kvd in memory, in this process, on a real socket, that can be told to
//! misbehave.
//!
//! It keeps the semantics that kvcli relies on (revisions, conditions, versions,
//! limits, order of a pipeline, request ids) and nothing else. Misbehaviour hangs on a key,
//! so that a test says exactly which operation it hits.

mod admin;
mod keys;
mod ranges;
mod service;
mod state;
mod txn;
mod watch;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason, admin_service_server::AdminServiceServer,
    kv_service_server::KvServiceServer, operation::Operation as Op,
    watch_service_server::WatchServiceServer,
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
        Self::start_at("127.0.0.1:0")
    }

    /// In the place of one that is gone.
    pub(crate) fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address: SocketAddr = listener.local_addr().expect("an address");
        Self::serve(address.to_string(), move |router, died| {
            let listener = listener.try_clone().expect("a second handle");
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
            let listener = listener.try_clone().expect("a second handle");
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
        F: Fn(
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
        let shared = state.clone();
        let thread = thread::Builder::new()
            .name("fake-kvd".to_owned())
            .spawn(move || {
                let mut died = died;
                loop {
                    run(&shared, |router| serve(router, died));
                    // A crash is followed by a start, with what was stored.
                    let mut state = shared.lock().expect("no handler panics");
                    if state.stopping || !std::mem::take(&mut state.restarts) {
                        return;
                    }
                    let (die, next) = oneshot::channel();
                    state.die = Some(die);
                    died = next;
                }
            });
        Self {
            endpoint,
            state,
            thread: Some(thread.expect("a thread")),
        }
    }

    /// Something goes wrong a few times, and then no more.
    pub(crate) fn mishaps(&self, key: &str, mishap: Mishap, times: u32) {
        let key = key.to_owned().into();
        let list = [(mishap, times)].into();
        self.state().mishaps.insert(key, list);
    }

    /// Something else goes wrong after that.
    pub(crate) fn mishap_later(&self, key: &str, mishap: Mishap) {
        let key = key.to_owned().into();
        let mut state = self.state();
        state
            .mishaps
            .entry(key)
            .or_default()
            .push_back((mishap, u32::MAX));
    }

    /// Request ids are refused, as by an older server.
    pub(crate) fn refuse_ids(&self, reason: ErrorReason) {
        self.state().no_ids = Some(reason);
    }

    /// So many scans break after their first page.
    pub(crate) fn break_scans(&self, times: u32) {
        self.state().broken_scans = times;
    }

    /// The next watch is sent this; it breaks then if there is another script.
    pub(crate) fn watch_script(&self, script: Vec<v1::WatchResponse>) {
        self.state().watch_scripts.push_back(script);
    }

    pub(crate) fn watches(&self) -> Vec<v1::WatchCreate> {
        self.state().watches.clone()
    }

    /// Every operation that arrived so far, also when it was answered from the
    /// memory of request ids.
    pub(crate) fn arrived(&self) -> Vec<Op> {
        self.state().arrived.clone()
    }

    pub(crate) fn scans(&self) -> Vec<v1::ScanRequest> {
        self.state().scans.clone()
    }

    pub(crate) fn hashes(&self) -> Vec<v1::HashRequest> {
        self.state().hashes.clone()
    }

    /// The request ids that arrived, one for each write that had one.
    pub(crate) fn ids(&self) -> Vec<Bytes> {
        let options = self.write_options();
        let ids = options.into_iter().map(|options| options.request_id);
        ids.filter(|id| !id.is_empty()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics inside")
    }

    pub(crate) fn answer_loading(&self, times: u32) {
        self.state().loading = times;
    }

    /// Slow operations are not told, as by an older server.
    pub(crate) fn lacks_slow_operations(&self) {
        self.state().no_slow_operations = true;
    }

    /// The status says so a few times.
    pub(crate) fn load_for(&self, times: u32) {
        self.state().status_loading = times;
    }

    pub(crate) fn mishap(&self, key: &str, mishap: Mishap) {
        self.mishaps(key, mishap, u32::MAX);
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

/// One life of the server.
fn run(
    state: &Arc<Mutex<State>>,
    serve: impl FnOnce(tonic::transport::server::Router) -> Pin<Box<dyn Future<Output = ()>>>,
) {
    let service = Service::new(state.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async move {
        let kv = KvServiceServer::new(service.clone()).max_decoding_message_size(20 * 1024 * 1024);
        let router = Server::builder()
            .add_service(kv)
            .add_service(WatchServiceServer::new(service.clone()))
            .add_service(AdminServiceServer::new(service));
        serve(router).await;
    });
}

impl Drop for Fake {
    fn drop(&mut self) {
        let die = {
            let mut state = self.state();
            state.stopping = true;
            state.die.take()
        };
        if let Some(die) = die {
            let _ = die.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
