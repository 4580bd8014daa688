//! WatchService: changes, as they come, for any number of watches on one stream.
//!
//! * `session`: one stream, polled by its connection when its client has room. A message
//!   is made when it can be sent, so a client that does not read costs its cursors and one
//!   message.
//! * `wire`, `share`: messages whose events were encoded once for all watches that tell them,
//!   and the service that sends such messages.
//! * `link`: how a change reaches the streams that wait for it.
//! * What has to wait for a disk is read on a thread that may block, one read per stream and
//!   `READS` of all streams at a time.

mod create;
mod encode;
mod entry;
pub mod link;
mod server;
mod session;
mod share;
mod wire;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use kvproto::v1;
use tonic::{Request, Response, Status, Streaming};

use super::core::{Core, answer};
use crate::backend::Store;
use crate::telemetry::stats::Rpc;
pub use server::WatchServer;
use wire::Reply;

/// Reads of the log, or of current records, at one time.
pub(crate) const READS: usize = 4;

/// The service of one runtime.
#[derive(Debug)]
pub struct Watch<S: Store> {
    core: Arc<Core<S>>,
}

impl<S: Store> Watch<S> {
    pub fn new(core: Arc<Core<S>>) -> Self {
        Self { core }
    }
}

type Replies = BoxStream<'static, Result<Reply, Status>>;

impl<S: Store> Watch<S> {
    fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let store = match self.core.store() {
            Ok(store) => store.clone(),
            Err(refusal) => return answer(self.core.begin(Rpc::Watch, &request), Err(refusal)),
        };
        Ok(Response::new(session::serve(
            Arc::clone(&self.core),
            store,
            request,
        )))
    }
}
