//! The connection of a session, which outlives the daemon behind it.
//!
//! A watcher notices when the connection is gone, says so, and tries again until
//! there is one. A command does not wait for it: it connects by itself and leaves
//! what it has to the watcher. Requests are never repeated here.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use kvproto::v1::{
    GetStatusRequest, KeyRange, ReadLevel, ReadOptions, ScanRequest, key_range::Range,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    call::Caller,
    command::all_keys,
    connect,
    endpoint::Endpoint,
    failure::{Failure, Refusal},
    settings::Settings,
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Completion asks for no longer than a person waits for a key to work.
const KEYS_LIMIT: Duration = Duration::from_millis(300);
/// Keys that completion asks for.
pub(super) const MOST_KEYS: usize = 100;

#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
    caller: Mutex<Option<Caller>>,
    changed: Notify,
}

impl Link {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(Arc::new(Shared {
            endpoints: settings.endpoints.clone(),
            timeout: settings.timeout,
            caller: Mutex::new(None),
            changed: Notify::new(),
        }))
    }

    /// The connection, if there is one.
    pub(super) fn current(&self) -> Option<Caller> {
        let caller = self.0.caller.lock().unwrap_or_else(PoisonError::into_inner);
        caller.clone().filter(|caller| !caller.lifeline.is_lost())
    }

    /// The connection, made now if there is none.
    pub(super) async fn caller(&self, settings: &Settings) -> Result<Caller, Failure> {
        if let Some(caller) = self.current() {
            return Ok(caller);
        }
        let caller = connect::connect(settings).await?;
        self.put(caller.clone());
        Ok(caller)
    }

    /// Keeps a connection that was made elsewhere.
    pub(super) fn put(&self, caller: Caller) {
        if caller.lifeline.is_lost() {
            return;
        }
        let mut slot = self.0.caller.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(caller);
        drop(slot);
        self.0.changed.notify_one();
    }

    /// Keeps the connection alive until the session ends, and tells what happens
    /// to it.
    pub(super) async fn watch(self, news: mpsc::Sender<String>) {
        // Who reads the news lives as long as the session.
        let tell = |text: String| drop(news.send(text));
        loop {
            if let Some(caller) = self.current() {
                let mut lifeline = caller.lifeline.clone();
                let endpoint = caller.endpoint.clone();
                drop(caller);
                tokio::select! {
                    () = lifeline.lost() => {}
                    () = self.0.changed.notified() => continue,
                }
                if self.current().is_none() {
                    tell(format!(
                        "the connection to {endpoint} is lost; trying again"
                    ));
                }
            }
            let endpoint = self.regained().await;
            tell(format!("connected to {endpoint}"));
        }
    }

    /// Waits until there is a connection.
    async fn regained(&self) -> Endpoint {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(caller) = self.current() {
                return caller.endpoint;
            }
            let mut errors = Vec::new();
            let new = connect::first(&self.0.endpoints, self.0.timeout, &mut errors).await;
            if let Some(mut caller) = new
                && self.answers(&mut caller).await
            {
                if self.current().is_none() {
                    self.put(caller);
                }
                continue;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// Whether somebody is behind a connection: a system takes one for a process that
    /// is just ending.
    async fn answers(&self, caller: &mut Caller) -> bool {
        let status = caller.admin.get_status(GetStatusRequest {});
        match timeout(self.0.timeout, status).await {
            Ok(Ok(_)) => true,
            Ok(Err(status)) => !Refusal::from_status(&status).is_undecided(),
            Err(_) => false,
        }
    }

    /// Some keys that begin so, the last of all among them: what all of these have
    /// in common all keys of the range have. Empty if the server is too slow.
    pub(super) async fn keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let Some(mut caller) = self.current() else {
            return Vec::new();
        };
        let range = if prefix.is_empty() {
            all_keys()
        } else {
            let prefix = Range::Prefix(prefix.to_vec().into());
            KeyRange {
                range: Some(prefix),
            }
        };
        let ask = async {
            let mut keys = page(&mut caller, range.clone(), MOST_KEYS, false).await;
            if keys.len() >= MOST_KEYS {
                for last in page(&mut caller, range, 1, true).await {
                    if !keys.contains(&last) {
                        keys.push(last);
                    }
                }
            }
            keys
        };
        timeout(KEYS_LIMIT, ask).await.unwrap_or_default()
    }
}

async fn page(caller: &mut Caller, range: KeyRange, limit: usize, reverse: bool) -> Vec<Vec<u8>> {
    let request = ScanRequest {
        range: Some(range),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
        reverse,
        keys_only: true,
        options: Some(ReadOptions {
            level: ReadLevel::Latest.into(),
            ..ReadOptions::default()
        }),
        ..ScanRequest::default()
    };
    let mut keys = Vec::new();
    let Ok(stream) = caller.kv.scan(request).await else {
        return keys;
    };
    let mut stream = stream.into_inner();
    while let Ok(Some(page)) = stream.message().await {
        keys.extend(page.records.into_iter().map(|record| record.key.to_vec()));
        if keys.len() >= limit {
            break;
        }
    }
    keys
}
