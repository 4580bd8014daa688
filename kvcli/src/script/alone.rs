//! Lines that travel alone: all before them are answered, and nothing follows
//! until they are.
//!
//! That makes them safe to repeat while a server is loading, and makes a stream
//! that breaks under them their own failure.

use kvproto::v1::{
    OperationResult, operation::Operation as Op, operation_result::Result as ItemResult,
};
use tokio::time::timeout_at;
use tonic::Status;

use super::{
    Held, Script,
    pipe::{Pipe, slot},
};
use crate::{
    call::{Caller, Patience, connection_lost, no_answer},
    command::Answer,
    connect::{self, was_lost_before},
    failure::{Failure, Refusal},
};

impl Script<'_> {
    pub(super) async fn run_alone(&mut self, held: Held) -> Result<(), Failure> {
        let line = held.line;
        let mut caller = match self.caller.take() {
            Some(caller) => caller,
            None => connect::connect(self.settings).await?,
        };
        self.alone = Some(line);
        self.last_sent = line;
        let answer = match held.ask.to_operation() {
            Some(operation) => self.ask_alone(&mut caller, line, operation).await,
            None => caller.call(&held.ask).await,
        };
        self.alone = None;
        self.caller = Some(caller);
        self.settle(line, held.pending, answer)
    }

    /// Runs one operation with nothing else under way, again while the server is
    /// loading.
    async fn ask_alone(
        &mut self,
        caller: &mut Caller,
        line: u64,
        operation: Op,
    ) -> Result<Answer, Failure> {
        if self.pipe.as_ref().is_some_and(Pipe::is_closed) {
            return Err(connection_lost());
        }
        let limit = self.settings.timeout;
        let mut patience = Patience::new(limit);
        loop {
            let attempt = self.exchange(caller, line, operation.clone());
            let refusal = match timeout_at(patience.deadline, attempt).await {
                Ok(Ok(Some(ItemResult::Error(error)))) => Refusal::from_item(&error),
                Ok(Ok(result)) => return Answer::from_result(result),
                Ok(Err(status)) if was_lost_before(&status) => return Err(connection_lost()),
                Ok(Err(status)) => {
                    self.pipe = None;
                    Refusal::from_status(&status)
                }
                Err(_) => {
                    self.pipe = None;
                    return Err(no_answer(limit));
                }
            };
            if !patience.again(&refusal).await {
                return Err(Failure::from_refusal(refusal));
            }
        }
    }

    async fn exchange(
        &mut self,
        caller: &mut Caller,
        line: u64,
        operation: Op,
    ) -> Result<Option<ItemResult>, Status> {
        let pipe = match self.pipe.take() {
            Some(pipe) => {
                pipe.send(vec![slot(line, operation)]);
                pipe
            }
            None => Pipe::open(caller, self.settings.window, line, operation).await?,
        };
        let answers = self.pipe.insert(pipe).next().await?;
        match <[OperationResult; 1]>::try_from(answers) {
            Ok([answer]) if answer.id == line => Ok(answer.result),
            _ => Err(Status::internal("the answer does not fit the request")),
        }
    }
}
