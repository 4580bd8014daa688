//! Scan: a range in key order, page by page.
//!
//! The stream is polled by its connection, which does so only while its client has
//! room, so a page is read when it can be sent and nothing is read ahead. Each page
//! waits for its own durability, and is all that the scan holds.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use kvproto::v1::{self, ErrorReason as Reason};
use tonic::{Code, Request, Status};

use super::convert;
use super::core::{Core, Headed as _, Seen, read_wait};
use super::deadline::Deadline;
use super::ranges::range;
use super::status::Refusal;
use super::token::Bound;
use crate::backend::{KeyRange, Page, PageLimit, ReadLevel, Record, Revealed, Store};
use crate::connection::Peer;
use crate::telemetry::stats::Rpc;
use crate::telemetry::trace::Span;

type Pages = BoxStream<'static, Result<v1::ScanResponse, Status>>;

/// Checks the request and begins its stream.
pub(super) fn begin<S: Store>(
    core: &Arc<Core<S>>,
    request: &Request<v1::ScanRequest>,
) -> Result<Pages, Refusal> {
    let store = core.store()?.clone();
    let peer = request.extensions().get::<Peer>().cloned();
    core.keeps_up(peer.as_ref(), 0)?;
    let scan = Scan {
        deadline: Deadline::of(request),
        peer,
        ..Scan::new(core, store, request.get_ref())?
    };
    core.stats.enter(Rpc::Scan);
    let counted = Counted {
        scan,
        begun: Instant::now(),
        code: Code::Cancelled,
        span: core.span(Rpc::Scan, request),
    };
    let pages = stream::unfold(Some(Box::new(counted)), |scan| async move {
        let mut counted = scan?;
        match counted.scan.next().await {
            Ok((page, true)) => {
                counted.code = Code::Ok;
                Some((Ok(page), None))
            }
            Ok((page, false)) => Some((Ok(page), Some(counted))),
            Err(refusal) => {
                counted.code = refusal.code();
                counted.span.refused(refusal.reason());
                Some((Err(refusal.into_status()), None))
            }
        }
    });
    Ok(pages.boxed())
}

/// A scan, counted when it ends. Dropped before, its caller went away.
struct Counted<S: Store> {
    scan: Scan<S>,
    begun: Instant,
    code: Code,
    span: Span,
}

impl<S: Store> Drop for Counted<S> {
    fn drop(&mut self) {
        // Its client decides how long it lasts.
        let took = self.begun.elapsed();
        self.span.end(self.code, Some(took));
        self.scan.core.stats.exit(Rpc::Scan, self.code, Some(took));
    }
}

struct Scan<S: Store> {
    core: Arc<Core<S>>,
    store: S,
    peer: Option<Peer>,
    deadline: Option<Instant>,
    range: KeyRange,
    reverse: bool,
    keys_only: bool,
    level: ReadLevel,
    page: PageLimit,
    /// The last key that was sent.
    after: Option<Vec<u8>>,
    /// Records that the limit leaves.
    left: Option<u64>,
    begun: bool,
}

impl<S: Store> Scan<S> {
    fn new(core: &Arc<Core<S>>, store: S, request: &v1::ScanRequest) -> Result<Self, Refusal> {
        let limits = &core.shared.limits;
        let range = range(request.range.as_ref(), limits)?;
        let level = convert::read_level(request.options.as_ref(), store.default_read_level())?;
        let page_size = convert::limit("page_size", i64::from(request.page_size))?;
        let page_size = page_size.and_then(|size| usize::try_from(size).ok());
        let mut scan = Self {
            page: limits.page(page_size.unwrap_or(0)),
            core: Arc::clone(core),
            store,
            peer: None,
            deadline: None,
            range,
            reverse: request.reverse,
            keys_only: request.keys_only,
            level,
            after: None,
            left: convert::limit("limit", request.limit)?,
            begun: false,
        };
        if !request.token.is_empty() {
            let resume = scan.bound().read(&request.token)?;
            scan.after = Some(resume.after);
            // What the limit left then, unless the caller asks for less now, or for all.
            scan.left = match (scan.left, resume.left) {
                (Some(asked), Some(left)) => Some(asked.min(left)),
                (asked, _) => asked,
            };
        }
        Ok(scan)
    }

    fn bound(&self) -> Bound<'_> {
        Bound {
            store: self.core.shared.tag(),
            range: &self.range,
            reverse: self.reverse,
        }
    }

    /// The next page, and whether it is the last.
    async fn next(&mut self) -> Result<(v1::ScanResponse, bool), Refusal> {
        let read = self.read().await?;
        let Page { records, next } = read.value;
        let seen = Seen {
            store_revision: read.store_revision,
            reveals: read.revealed,
            wait: read_wait(self.level, read.revealed),
            wrote: false,
        };
        self.core.settle(&self.store, seen, self.deadline).await?;
        self.left = self
            .left
            .map(|left| left.saturating_sub(records.len() as u64));
        let token = match &next {
            Some(next) => self.bound().token(next, self.left),
            None => Bytes::new(),
        };
        let page = v1::ScanResponse {
            header: Some(self.core.header_with_position(&self.store, seen)),
            records: records.iter().map(|record| self.record(record)).collect(),
            token,
        };
        if let Some(peer) = &self.peer {
            peer.owes(page.weight());
        }
        self.after = next;
        Ok((page, self.after.is_none() || self.left == Some(0)))
    }

    /// Reads a page; on over stretches where every key has expired.
    async fn read(&mut self) -> Result<Revealed<Page>, Refusal> {
        let patience = self.core.shared.limits.patience(self.deadline);
        let limit = self.limit();
        let mut revealed = 0;
        loop {
            if self.begun {
                // Others get a turn between two pages.
                tokio::task::yield_now().await;
            }
            self.begun = true;
            self.may_go_on()?;
            patience.check()?;
            let after = self.after.as_deref();
            let read = self
                .store
                .scan(&self.range, after, self.reverse, limit, patience);
            let mut page = read.await?;
            revealed = page.revealed.max(revealed);
            page.revealed = revealed;
            if !page.value.records.is_empty() || page.value.next.is_none() {
                self.cut(&mut page.value);
                return Ok(page);
            }
            self.after = page.value.next;
        }
    }

    /// Not if the server stops, or the client does not read.
    fn may_go_on(&self) -> Result<(), Refusal> {
        if *self.core.shared.draining.borrow() {
            return Err(Refusal::new(
                Reason::Draining,
                "the server is stopping: go on with the last token at another time or place",
            ));
        }
        self.core.keeps_up(self.peer.as_ref(), 0)
    }

    fn limit(&self) -> PageLimit {
        let left = self.left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        PageLimit {
            records: self.page.records.min(left),
            // Values that are not sent do not fill a page.
            bytes: if self.keys_only {
                usize::MAX
            } else {
                self.page.bytes
            },
        }
    }

    /// Cuts what is over the bytes of a page; a record alone may be longer.
    fn cut(&self, page: &mut Page) {
        let mut bytes = 0;
        let over = page.records.iter().position(|record| {
            bytes += record.key().len();
            if !self.keys_only {
                bytes += record.value().len();
            }
            bytes > self.page.bytes
        });
        if let Some(over) = over.map(|over| over.max(1))
            && over < page.records.len()
        {
            page.records.truncate(over);
            page.next = page.records.last().map(|record| record.key().to_vec());
        }
    }

    fn record(&self, record: &Record) -> v1::Record {
        let key = Bytes::copy_from_slice(record.key());
        if self.keys_only {
            return v1::Record {
                key,
                ..convert::numbers(&self.store, record)
            };
        }
        convert::record(&self.store, key, record)
    }
}
