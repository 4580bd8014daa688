//! The pipeline stream: operations go out in messages, answers come back in the
//! same order.

use kvproto::v1::{
    Operation, OperationResult, PipelineRequest, PipelineResponse, operation::Operation as Op,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::call::Caller;

#[derive(Debug)]
pub(super) struct Pipe {
    requests: mpsc::Sender<PipelineRequest>,
    replies: Streaming<PipelineResponse>,
}

impl Pipe {
    /// Opens a stream with its first operation. `room` is how many messages may
    /// be unanswered.
    pub(super) async fn open(
        caller: &mut Caller,
        room: usize,
        line: u64,
        operation: Op,
    ) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(room + 1);
        let pipe_gone = |_| Status::unavailable("the stream was closed before it began");
        requests
            .try_send(message(vec![slot(line, operation)]))
            .map_err(pipe_gone)?;
        let replies = caller
            .kv
            .pipeline(ReceiverStream::new(queue))
            .await?
            .into_inner();
        Ok(Self { requests, replies })
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Puts operations on their way. False if the stream is closed; its next
    /// answer tells why.
    pub(super) fn send(&self, operations: Vec<Operation>) -> bool {
        self.requests.try_send(message(operations)).is_ok()
    }

    /// The next answers. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Vec<OperationResult>, Status> {
        match self.replies.message().await? {
            Some(reply) => Ok(reply.results),
            None => Err(Status::unavailable("the server closed the stream")),
        }
    }

    /// Says that nothing more comes and waits for the server to agree.
    pub(super) async fn close(self) {
        let Self {
            requests,
            mut replies,
        } = self;
        drop(requests);
        while let Ok(Some(_)) = replies.message().await {}
    }
}

fn message(operations: Vec<Operation>) -> PipelineRequest {
    PipelineRequest {
        operations,
        require: Vec::new(),
    }
}

/// An operation under the number of its line.
pub(super) fn slot(line: u64, operation: Op) -> Operation {
    Operation {
        id: line,
        operation: Some(operation),
    }
}
