//! A scan, page by page, across connections.
//!
//! After a stream that broke the scan goes on behind the last page that came
//! whole, so no record is printed twice. Time is counted from page to page.

use kvproto::v1::{ScanRequest, ScanResponse};
use tokio::time::timeout_at;
use tonic::{Status, Streaming};

use super::{Caller, Patience, Repeat, Trouble, Way};
use crate::failure::Failure;

pub(crate) struct Pages<'a> {
    caller: &'a mut Caller,
    /// What is still to be asked for.
    request: ScanRequest,
    stream: Option<Streaming<ScanResponse>>,
    patience: Patience,
    /// The last page of the range has come, whatever becomes of the stream.
    complete: bool,
    over: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(caller: &'a mut Caller, request: ScanRequest) -> Self {
        // A read changes nothing: it may be asked as often as one likes.
        let patience = Patience::new(caller.timeout, Repeat::IfUndecided);
        Self {
            caller,
            request,
            stream: None,
            patience,
            complete: false,
            over: false,
        }
    }

    /// The next page. None after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<ScanResponse>, Failure> {
        while !self.over {
            let trouble = match timeout_at(self.patience.deadline, self.attempt()).await {
                Ok(Ok(Some(page))) => {
                    self.took(&page);
                    return Ok(Some(page));
                }
                Ok(Ok(None)) => break,
                Ok(Err(_)) | Err(_) if self.complete => break,
                Ok(Err(status)) => Trouble::from_status(&status),
                Err(_) => Trouble::Late,
            };
            self.stream = None;
            if self.patience.again(trouble).await? == Way::NewConnection {
                self.caller.reconnect(&mut self.patience).await?;
            }
        }
        self.over = true;
        Ok(None)
    }

    async fn attempt(&mut self) -> Result<Option<ScanResponse>, Status> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            // Without a deadline for the server: a scan may take long.
            None => self
                .caller
                .kv
                .scan(self.request.clone())
                .await?
                .into_inner(),
        };
        self.stream.insert(stream).message().await
    }

    /// What is left after a page.
    fn took(&mut self, page: &ScanResponse) {
        self.patience.renew();
        self.request.token.clone_from(&page.token);
        let records = i64::try_from(page.records.len()).unwrap_or(i64::MAX);
        if self.request.limit > 0 {
            self.request.limit -= records;
            // 0 would ask for all.
            self.over |= self.request.limit <= 0;
        }
        self.complete = page.token.is_empty();
        // What came is safe; a server that starts again may go on from here.
        self.patience.repeat = Repeat::ThroughRestarts;
    }
}
