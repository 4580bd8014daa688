//! Lines that travel alone: all before them are answered, and nothing follows
//! until they are.
//!
//! That makes them safe to repeat while a server is loading, and makes a stream
//! that breaks under them their own failure. After a stream that broke under
//! --retry the first line to be sent again travels so too.

use kvproto::v1::{Capability, OperationResult, operation_result::Result as ItemResult};
use tokio::time::timeout_at;
use tonic::Status;

use super::{
    Line, Script,
    pipe::{Pipe, slot},
};
use crate::{
    call::{Caller, Patience, Repeat, Trouble, Way},
    command::{Answer, Ask, Identity, scan},
    connect,
    failure::Failure,
};

impl Script<'_> {
    pub(super) async fn run_alone(&mut self, mut line: Line) -> Result<(), Failure> {
        let mut caller = match self.caller.take() {
            Some(caller) => caller,
            None => connect::connect(self.settings).await?,
        };
        let number = line.number;
        self.alone = Some(number);
        self.last_sent = self.last_sent.max(number);
        let end = match &line.prepared.ask {
            Ask::Scan(request) => match scan::print(&mut caller, request, self.output).await {
                Err(Failure::Output(error)) => Err(Failure::Output(error)),
                Err(failure) => {
                    self.failed(number, &failure);
                    Ok(())
                }
                Ok(()) => Ok(()),
            },
            Ask::Hash(_) | Ask::Status(_) | Ask::Config(_) | Ask::Reload(_) | Ask::Snapshot(_) => {
                let answer = caller.call(&line.prepared).await;
                self.settle(number, line.prepared.pending, answer)
            }
            _ => {
                let answer = self.ask_alone(&mut caller, &mut line).await;
                self.settle(number, line.prepared.pending, answer)
            }
        };
        self.alone = None;
        self.caller = Some(caller);
        end
    }

    /// Runs one operation with nothing else under way, again while the server is
    /// loading, and under --retry until it is answered.
    async fn ask_alone(&mut self, caller: &mut Caller, line: &mut Line) -> Result<Answer, Failure> {
        let mut patience = Patience::new(self.settings.timeout, self.repeat(line));
        if line.sent_before {
            patience = patience.doubting("the connection was lost before the answer");
        }
        loop {
            let trouble = if self.pipe.as_ref().is_some_and(Pipe::is_closed) {
                self.pipe = None;
                Trouble::Unsent
            } else {
                let attempt = self.exchange(caller, line);
                match timeout_at(patience.deadline, attempt).await {
                    Ok(Ok(Some(ItemResult::Error(error)))) => Trouble::from_item(&error),
                    Ok(Ok(result)) => return Answer::from_result(result),
                    Ok(Err(status)) => {
                        self.pipe = None;
                        Trouble::from_status(&status)
                    }
                    Err(_) => {
                        self.pipe = None;
                        Trouble::Late
                    }
                }
            };
            if self.retry && !patience.doubts() && self.again.is_empty() && trouble.refuses_ids() {
                self.give_up_retry();
                line.forget_id();
                patience.repeat = self.repeat(line);
                continue;
            }
            if patience.again(trouble).await? == Way::NewConnection {
                self.pipe = None;
                caller.reconnect(&mut patience).await?;
            }
        }
    }

    /// How often a line may be sent.
    pub(super) fn repeat(&self, line: &Line) -> Repeat {
        if self.retry && line.is_repeatable() {
            Repeat::ThroughRestarts
        } else {
            Repeat::Never
        }
    }

    /// The server does not know ids: from here on as without --retry.
    fn give_up_retry(&mut self) {
        self.complain("this server does not know request ids: going on without --retry");
        self.retry = false;
        self.compiler.give_up_retry();
    }

    async fn exchange(
        &mut self,
        caller: &mut Caller,
        line: &Line,
    ) -> Result<Option<ItemResult>, Status> {
        let Some(operation) = line.prepared.ask.to_operation() else {
            return Err(Status::internal("this is no operation of a pipeline"));
        };
        let first = slot(line.number, operation);
        let pipe = if let Some(pipe) = self.pipe.take() {
            pipe.send(vec![first]);
            pipe
        } else {
            let require = self.retry.then_some(Capability::RequestId);
            Pipe::open(caller, self.settings.window, first, require).await?
        };
        let answers = self.pipe.insert(pipe).next().await?;
        match <[OperationResult; 1]>::try_from(answers) {
            Ok([answer]) if answer.id == line.number => Ok(answer.result),
            _ => Err(Status::internal("the answer does not fit the request")),
        }
    }
}

impl Line {
    /// Whether running it twice is running it once.
    pub(super) fn is_repeatable(&self) -> bool {
        self.prepared.identity != Identity::Absent || !self.prepared.ask.changes()
    }

    /// Takes back an id that was drawn here.
    fn forget_id(&mut self) {
        if self.prepared.identity == Identity::Drawn {
            self.prepared.ask.forget_id();
            self.prepared.identity = Identity::Absent;
        }
    }
}
