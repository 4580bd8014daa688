//! Backup: the store as a stream of pieces of a file.
//!
//! A thread feeds the stream (see [`super::fed`]): one that takes no piece for a minute is
//! given up, because what it needs of the log is kept for it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use kvproto::v1;
use tonic::{Request, Response, Status};

use super::convert::{require, revision};
use super::core::Core;
use super::fed::{self, Feed, Kind, Next};
use super::status::Refusal;
use crate::backend::Store;
use crate::telemetry::stats::Rpc;

/// Bytes of one piece, and pieces under way.
const PIECE: usize = 1 << 20;
const AHEAD: usize = 4;
/// Backups at one time.
const AT_ONCE: usize = 4;

type Pieces = BoxStream<'static, Result<v1::BackupResponse, Status>>;

/// Checks the request and begins its stream.
pub(super) fn begin<S: Store>(
    core: &Arc<Core<S>>,
    request: &Request<v1::BackupRequest>,
) -> Result<Response<Pieces>, Status> {
    let kind = Kind {
        rpc: Rpc::Backup,
        thread: "kvd-backup",
        names: ["backup", "backups"],
        item: "piece of the backup",
        at_once: AT_ONCE,
        running: |shared| &shared.backups,
        ahead: AHEAD,
    };
    let work = after(request.get_ref())
        .map(|after| move |store: &S, mut feed| tell(store, after, &mut feed));
    let span = core.span(kind.rpc, request);
    fed::begin(core, kind, span, work, |header, chunk| {
        let header = Some(header);
        match chunk {
            Some(chunk) => Next::On(v1::BackupResponse {
                header,
                chunk,
                ..v1::BackupResponse::default()
            }),
            None => Next::Last(v1::BackupResponse {
                header,
                last: true,
                ..v1::BackupResponse::default()
            }),
        }
    })
}

fn after(request: &v1::BackupRequest) -> Result<Option<u64>, Refusal> {
    require(&request.require)?;
    let after = revision("after_revision", request.after_revision)?;
    Ok((after > 0).then_some(after))
}

/// The thread. An error is the last thing that the stream hears of it.
fn tell<S: Store>(store: &S, after: Option<u64>, feed: &mut Feed<Bytes>) {
    let told = store.backup(after, &mut |bytes| {
        bytes
            .chunks(PIECE)
            .try_for_each(|piece| feed.send(Ok(Bytes::copy_from_slice(piece))))
    });
    if let Err(error) = told {
        // Nobody may be listening any more.
        let _gone = feed.send(Err(error));
    }
}
