//! The pipeline stream: operations go out in messages, answers come back in the
//! same order.

use kvproto::v1::{
    Capability, Operation, OperationResult, PipelineRequest, PipelineResponse,
    operation::Operation as Op,
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
    /// be unanswered. A server that lacks what is required ends the stream before
    /// it runs anything.
    pub(super) async fn open(
        caller: &mut Caller,
        room: usize,
        first: Operation,
        require: Option<Capability>,
    ) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(room + 1);
        let pipe_gone = |_| Status::unavailable("the stream was closed before it began");
        let opening = PipelineRequest {
            operations: vec![first],
            require: require.into_iter().map(i32::from).collect(),
        };
        requests.try_send(opening).map_err(pipe_gone)?;
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
        let message = PipelineRequest {
            operations,
            require: Vec::new(),
        };
        self.requests.try_send(message).is_ok()
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

/// An operation under the number of its line.
pub(super) fn slot(line: u64, operation: Op) -> Operation {
    Operation {
        id: line,
        operation: Some(operation),
    }
}
