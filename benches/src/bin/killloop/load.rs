//! The clients: they write and read at random until the daemon is gone.

use std::error::Error;

use bytes::Bytes;
use kvbench::rng::Rng;
use kvproto::v1;
use kvproto::v1::kv_service_client::KvServiceClient;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use super::history::{Answer, Asked, Durability, Found, KEYS, Shared, Sight, key};

const CLIENTS: u64 = 16;
/// Requests that each client keeps open.
const DEPTH: u64 = 4;

/// All clients of one cycle.
#[derive(Debug)]
pub(crate) struct Clients(Vec<JoinHandle<()>>);

impl Clients {
    /// Waits until every client has noticed that the daemon is gone.
    pub(crate) async fn ended(self) {
        for task in self.0 {
            // A panic in a client is a bug of this program and must not pass.
            task.await.expect("clients do not panic");
        }
    }
}

/// Connects all clients and sets them to work.
pub(crate) async fn start(
    endpoint: &str,
    history: &Shared,
    rng: &mut Rng,
) -> Result<Clients, Box<dyn Error>> {
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let channel = Endpoint::from_shared(endpoint.to_owned())?
            .connect()
            .await?;
        for _ in 0..DEPTH {
            let client = KvServiceClient::new(channel.clone());
            let (history, rng) = (history.clone(), Rng::new(rng.bits()));
            tasks.push(tokio::task::spawn_local(work(client, history, rng)));
        }
    }
    Ok(Clients(tasks))
}

/// One request after the other until the connection breaks.
async fn work(mut client: KvServiceClient<Channel>, history: Shared, mut rng: Rng) {
    loop {
        let key_index = rng.below(KEYS);
        let durability = *rng.pick(&Durability::ALL);
        let goes_on = match rng.below(100) {
            0..70 => write(&mut client, &history, Asked::set(key_index, durability)).await,
            70..82 => write(&mut client, &history, Asked::delete(key_index, durability)).await,
            _ => read(&mut client, &history, key_index).await,
        };
        if !goes_on {
            return;
        }
    }
}

async fn write(client: &mut KvServiceClient<Channel>, history: &Shared, asked: Asked) -> bool {
    let id = history.ask(asked);
    let key = Bytes::from(key(asked.key));
    let options = Some(v1::WriteOptions {
        durability: asked.durability.wire().into(),
        ..Default::default()
    });
    let reply = if asked.set {
        let value = Bytes::from(super::history::value(id));
        let request = v1::SetRequest {
            key,
            value,
            options,
            ..Default::default()
        };
        client.set(request).await.map(|reply| {
            let reply = reply.into_inner();
            (reply.applied, reply.revision, reply.header)
        })
    } else {
        let request = v1::DeleteRequest {
            key,
            options,
            ..Default::default()
        };
        client.delete(request).await.map(|reply| {
            let reply = reply.into_inner();
            (reply.deleted, reply.revision, reply.header)
        })
    };
    match reply {
        Ok((applied, revision, header)) => {
            history.see_header(header);
            history.answer(
                id,
                if applied {
                    Answer::Applied(revision)
                } else {
                    Answer::Nothing
                },
            );
            true
        }
        Err(status) => match refusal(&status) {
            Some(reason) => {
                history.answer(id, Answer::Refused(reason));
                true
            }
            None => false,
        },
    }
}

async fn read(client: &mut KvServiceClient<Channel>, history: &Shared, key_index: u64) -> bool {
    let request = v1::GetRequest {
        key: Bytes::from(key(key_index)),
        options: None,
    };
    let open = history.open();
    let reply = client.get(request).await;
    match reply {
        Ok(reply) => {
            drop(open);
            let reply = reply.into_inner();
            let durable = reply.header.as_ref().is_some_and(|header| header.durable);
            history.see_header(reply.header);
            if let Some(record) = reply.record {
                history.see(&sight(&record), durable);
            }
            true
        }
        Err(status) => {
            let refused = refusal(&status).is_some();
            if !refused {
                open.stays();
            }
            refused
        }
    }
}

/// The reason, if the daemon itself says that nothing happened.
fn refusal(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == "kvd" && info.reason != "UNKNOWN_OUTCOME").then_some(info.reason)
}

fn sight(record: &v1::Record) -> Sight {
    Sight {
        key: record.key.to_vec(),
        value: record.value.to_vec(),
        mod_revision: record.mod_revision,
        create_revision: record.create_revision,
        version: record.version,
    }
}

/// Everything that a freshly started store holds.
pub(crate) async fn read_everything(endpoint: &str) -> Result<Found, Box<dyn Error>> {
    let channel = Endpoint::from_shared(endpoint.to_owned())?
        .connect()
        .await?;
    let mut client = KvServiceClient::new(channel.clone());
    let mut found = Found::default();
    let all: Vec<Bytes> = (0..KEYS).map(|index| Bytes::from(key(index))).collect();
    for keys in all.chunks(16) {
        let request = v1::BatchGetRequest {
            keys: keys.to_vec(),
            options: None,
        };
        let reply = client.batch_get(request).await?.into_inner();
        if reply.results.len() != keys.len() {
            return Err("BatchGet answers another number of keys than it was asked".into());
        }
        for result in reply.results {
            found.records.push(match result.result {
                Some(v1::batch_get_result::Result::Record(record)) => Some(sight(&record)),
                Some(v1::batch_get_result::Result::Missing(_)) => None,
                other => return Err(format!("BatchGet answers {other:?}").into()),
            });
        }
    }
    let mut admin = v1::admin_service_client::AdminServiceClient::new(channel);
    let status = admin
        .get_status(v1::GetStatusRequest::default())
        .await?
        .into_inner();
    found.revision = status.store_revision;
    found.keys = status.keys;
    Ok(found)
}
