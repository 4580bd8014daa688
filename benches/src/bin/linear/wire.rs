//! Operations as requests, replies as answers.
//!
//! Replies are looked at closely here: one that contradicts itself or its request is
//! [`Reply::Garbled`] and never passes.

mod reply;
mod request;

use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use super::op::{Action, Answer, Header, Key, Outcome, Reply, Step, Target};
use reply::{check_revision, was_deleted, was_expired, was_incremented, was_set};

/// How the operations of a client are sent.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// All keys of a run begin with this.
    pub(crate) prefix: String,
    pub(crate) durability: v1::Durability,
    pub(crate) level: v1::ReadLevel,
}

type Made = Result<Reply, String>;

impl Wire {
    /// Sends one operation.
    pub(crate) async fn call(
        &self,
        client: &mut KvServiceClient<Channel>,
        action: &Action,
    ) -> Outcome {
        let result = match action {
            Action::One {
                key,
                step,
                condition,
                previous,
            } => {
                self.one(client, *key, step, condition.as_ref(), *previous)
                    .await
            }
            Action::BatchGet(keys) => self.batch_get(client, keys).await,
            Action::Txn {
                compares,
                success,
                failure,
            } => {
                let request = self.txn_request(compares, success, failure);
                let reply = client.txn(request).await.map(tonic::Response::into_inner);
                reply.map(|reply| (reply.header.clone(), self.txn(action, reply)))
            }
        };
        let (header, made) = match result {
            Ok(answered) => answered,
            Err(status) => return failure(action, &status),
        };
        let reply = made.unwrap_or_else(Reply::Garbled);
        match header {
            None => garbled("a reply has no header"),
            Some(header) if self.must_be_durable(action) && !header.durable => {
                garbled("a reply that must be durable says that it is not")
            }
            Some(header) => {
                let header = Header {
                    store: header.store_revision,
                    durable: header.durable_revision,
                };
                Outcome::Answered(reply, header)
            }
        }
    }

    fn must_be_durable(&self, action: &Action) -> bool {
        let synced = self.durability == v1::Durability::Synced;
        let durable = self.level == v1::ReadLevel::Durable;
        match action {
            Action::One { step, .. } if step.writes() => synced,
            Action::Txn { .. } => synced,
            _ => durable,
        }
    }

    async fn one(
        &self,
        client: &mut KvServiceClient<Channel>,
        key: Key,
        step: &Step,
        condition: Option<&Target>,
        previous: bool,
    ) -> Result<(Option<v1::ResponseHeader>, Made), Status> {
        let options = Some(self.options());
        Ok(match step {
            Step::Get => {
                let mut request = self.get(key);
                request.options = Some(self.read_options());
                let reply = client.get(request).await?.into_inner();
                (reply.header.clone(), self.got(key, reply).map(Reply::One))
            }
            Step::Set { value, until } => {
                let request = v1::SetRequest {
                    condition: condition.map(request::condition),
                    return_previous: previous,
                    options,
                    ..self.set(key, value, *until)
                };
                let reply = client.set(request).await?.into_inner();
                let made = check_revision(reply.applied, reply.revision, reply.record.as_ref());
                let answer = was_set(&reply, previous);
                (reply.header, made.and(answer).map(Reply::One))
            }
            Step::Delete => {
                let request = v1::DeleteRequest {
                    key: self.key(key),
                    condition: condition.map(request::condition),
                    return_previous: previous,
                    options,
                };
                let reply = client.delete(request).await?.into_inner();
                let answer = was_deleted(&reply, previous, reply.revision);
                (reply.header, answer.map(Reply::One))
            }
            Step::Increment(delta) => {
                let mut request = self.increment(key, *delta);
                request.options = options;
                let reply = client.increment(request).await?.into_inner();
                let made = check_revision(true, reply.revision, reply.record.as_ref());
                let answer = was_incremented(&reply);
                (reply.header, made.and(answer).map(Reply::One))
            }
            Step::Expire(change, when) => {
                let mut request = self.expire(key, *change, *when);
                request.options = options;
                let reply = client.expire(request).await?.into_inner();
                // Not applied, it still shows the record.
                let record = reply.record.as_ref().filter(|_| reply.applied);
                let made = check_revision(reply.applied, reply.revision, record);
                let answer = was_expired(&reply);
                (reply.header, made.and(answer).map(Reply::One))
            }
        })
    }

    async fn batch_get(
        &self,
        client: &mut KvServiceClient<Channel>,
        keys: &[Key],
    ) -> Result<(Option<v1::ResponseHeader>, Made), Status> {
        let request = v1::BatchGetRequest {
            keys: keys.iter().map(|key| self.key(*key)).collect(),
            options: Some(self.read_options()),
        };
        let reply = client.batch_get(request).await?.into_inner();
        let made = keys.iter().zip(reply.results).map(|(key, result)| {
            use v1::batch_get_result::Result as R;
            match result.result {
                Some(R::Record(record)) => self.record(*key, &record).map(Some),
                Some(R::Missing(_)) => Ok(None),
                other => Err(format!("BatchGet answers {other:?}")),
            }
        });
        let made: Result<Vec<_>, String> = made.collect();
        Ok((reply.header, made.map(Reply::BatchGet)))
    }
}

fn garbled(what: &str) -> Outcome {
    Outcome::Answered(Reply::Garbled(what.into()), Header::default())
}

/// What a status says of the operation.
fn failure(action: &Action, status: &Status) -> Outcome {
    let info = status.get_details_error_info();
    let reason = info
        .filter(|info| info.domain == "kvd")
        .map(|info| info.reason);
    match reason.as_deref() {
        None | Some("UNKNOWN_OUTCOME" | "INTERNAL") => {
            Outcome::Undecided(format!("{:?}: {}", status.code(), status.message()))
        }
        Some("NOT_AN_INTEGER") if matches!(action, Action::One { .. }) => {
            Outcome::Answered(Reply::One(Answer::NotAnInteger), Header::default())
        }
        Some(reason) => Outcome::Refused(reason.to_owned()),
    }
}
