//! Operations on single keys.

use bytes::Bytes;
use kvproto::v1::{
    self, ErrorReason, ExpireCondition, Record, batch_get_result::Result as KeyResult,
    batch_write_operation::Operation as WriteOp, batch_write_result::Result as WriteResult,
    condition::Test, expire_request::Expiry as NewExpiry, expiry::When,
};
use tonic::Code;

use super::{
    VALUE_LIMIT,
    state::{State, Stop, item, now_ms},
};

impl State {
    pub(super) fn get(&mut self, request: &v1::GetRequest) -> Result<v1::GetResponse, Stop> {
        self.check_key(&request.key)?;
        let record = self.records.get(&request.key).cloned();
        Ok(v1::GetResponse {
            header: Some(self.header()),
            found: record.is_some(),
            record,
        })
    }

    fn holds(&self, key: &Bytes, condition: Option<&v1::Condition>) -> bool {
        let record = self.records.get(key);
        match condition.and_then(|condition| condition.test.as_ref()) {
            None => true,
            Some(Test::Exists(wanted)) => record.is_some() == *wanted,
            Some(Test::ModRevision(wanted)) => record.map_or(0, |r| r.mod_revision) == *wanted,
            Some(Test::Version(wanted)) => record.map_or(0, |r| r.version) == *wanted,
            Some(Test::CreateRevision(wanted)) => {
                record.map_or(0, |r| r.create_revision) == *wanted
            }
            Some(Test::Value(wanted)) => record.is_some_and(|r| r.value == *wanted),
        }
    }

    /// Writes a record and returns it as replies show it.
    fn put(&mut self, key: &Bytes, value: Bytes, expires_at_ms: i64, lease_id: i64) -> Record {
        self.revision += 1;
        let old = self.records.get(key);
        let record = Record {
            key: key.clone(),
            value,
            create_revision: old.map_or(self.revision, |record| record.create_revision),
            mod_revision: self.revision,
            version: old.map_or(0, |record| record.version) + 1,
            expires_at_ms,
            lease_id,
        };
        if expires_at_ms != 0 && expires_at_ms <= now_ms() {
            self.records.remove(key);
        } else {
            self.records.insert(key.clone(), record.clone());
        }
        Record {
            key: Bytes::new(),
            value: Bytes::new(),
            ..record
        }
    }

    /// The end and the lease that a written key gets.
    fn end_of(&self, key: &Bytes, expiry: Option<&v1::Expiry>) -> (i64, i64) {
        match expiry.and_then(|expiry| expiry.when.as_ref()) {
            None => (0, 0),
            Some(When::TtlMs(ttl)) => (now_ms() + ttl, 0),
            Some(When::AtMs(at)) => (*at, 0),
            Some(When::Keep(_)) => (self.records.get(key).map_or(0, |r| r.expires_at_ms), 0),
            Some(When::LeaseId(lease)) => (0, *lease),
        }
    }

    pub(super) fn set(&mut self, request: v1::SetRequest) -> Result<v1::SetResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        if request.value.len() > VALUE_LIMIT {
            return Err(item(
                Code::InvalidArgument,
                ErrorReason::ValueTooLarge,
                "value too large",
            ));
        }
        let old = self.records.get(&request.key).cloned();
        if !self.holds(&request.key, request.condition.as_ref()) {
            return Ok(v1::SetResponse {
                header: Some(self.header()),
                current: old.map(Box::new),
                ..Default::default()
            });
        }
        let (end, lease) = self.end_of(&request.key, request.expiry.as_ref());
        let record = self.put(&request.key, request.value, end, lease);
        Ok(v1::SetResponse {
            header: Some(self.header()),
            applied: true,
            revision: self.revision,
            record: Some(record),
            previous: old.filter(|_| request.return_previous).map(Box::new),
            ..Default::default()
        })
    }

    pub(super) fn delete(
        &mut self,
        request: &v1::DeleteRequest,
    ) -> Result<v1::DeleteResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        if !self.holds(&request.key, request.condition.as_ref()) {
            return Ok(v1::DeleteResponse {
                header: Some(self.header()),
                current: self.records.get(&request.key).cloned().map(Box::new),
                ..Default::default()
            });
        }
        let old = self.records.remove(&request.key);
        let deleted = old.is_some();
        self.revision += i64::from(deleted);
        let revision = if deleted { self.revision } else { 0 };
        Ok(v1::DeleteResponse {
            header: Some(self.header()),
            deleted,
            revision,
            previous: old.filter(|_| request.return_previous).map(Box::new),
            ..Default::default()
        })
    }

    pub(super) fn increment(
        &mut self,
        request: &v1::IncrementRequest,
    ) -> Result<v1::IncrementResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        let old = self.records.get(&request.key).cloned();
        let before = match &old {
            None => request.initial,
            Some(record) => {
                let text = std::str::from_utf8(&record.value).ok();
                text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                    let text = "not a decimal int64";
                    item(Code::FailedPrecondition, ErrorReason::NotAnInteger, text)
                })?
            }
        };
        let (min, max) = (
            request.min.unwrap_or(i64::MIN),
            request.max.unwrap_or(i64::MAX),
        );
        let sum = i128::from(before) + i128::from(request.delta.unwrap_or(1));
        let bounded = sum.clamp(min.into(), max.into());
        if bounded != sum && !request.saturate {
            let text = "past a bound";
            return Err(item(Code::OutOfRange, ErrorReason::OutOfBounds, text));
        }
        let value = i64::try_from(bounded).expect("within the bounds");
        let (end, lease) = match &old {
            Some(record) => (record.expires_at_ms, record.lease_id),
            None => self.end_of(&request.key, request.expiry.as_ref()),
        };
        let record = self.put(&request.key, value.to_string().into(), end, lease);
        Ok(v1::IncrementResponse {
            header: Some(self.header()),
            value,
            revision: self.revision,
            record: Some(record),
            replayed: false,
        })
    }

    pub(super) fn expire(
        &mut self,
        request: &v1::ExpireRequest,
    ) -> Result<v1::ExpireResponse, Stop> {
        self.seen.push(request.key.clone());
        self.check_key(&request.key)?;
        let Some(old) = self.records.get(&request.key).cloned() else {
            return Ok(v1::ExpireResponse {
                header: Some(self.header()),
                ..Default::default()
            });
        };
        let end = match request.expiry.as_ref().expect("kvcli says when") {
            NewExpiry::TtlMs(ttl) => now_ms() + ttl,
            NewExpiry::AtMs(at) => *at,
            NewExpiry::Persist(_) => 0,
        };
        let late = |end: i64| if end == 0 { i64::MAX } else { end };
        let applied = match request.condition() {
            ExpireCondition::Unspecified => true,
            ExpireCondition::Nx => old.expires_at_ms == 0,
            ExpireCondition::Xx => old.expires_at_ms != 0,
            ExpireCondition::Gt => late(end) > late(old.expires_at_ms),
            ExpireCondition::Lt => late(end) < late(old.expires_at_ms),
        };
        let record = if applied {
            self.put(&request.key, old.value, end, 0)
        } else {
            Record {
                key: Bytes::new(),
                value: Bytes::new(),
                ..old
            }
        };
        Ok(v1::ExpireResponse {
            header: Some(self.header()),
            found: true,
            applied,
            record: Some(record),
            revision: if applied { self.revision } else { 0 },
            replayed: false,
        })
    }

    pub(super) fn batch_get(
        &mut self,
        request: &v1::BatchGetRequest,
    ) -> Result<v1::BatchGetResponse, Stop> {
        let mut results = Vec::new();
        for key in &request.keys {
            let request = v1::GetRequest {
                key: key.clone(),
                ..Default::default()
            };
            let result = match self.get(&request) {
                Ok(v1::GetResponse {
                    record: Some(record),
                    ..
                }) => KeyResult::Record(record),
                Ok(_) => KeyResult::Missing(v1::Missing {}),
                Err(Stop::Item(error)) => KeyResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchGetResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchGetResponse {
            header: Some(self.header()),
            results,
        })
    }

    pub(super) fn batch_write(
        &mut self,
        request: v1::BatchWriteRequest,
    ) -> Result<v1::BatchWriteResponse, Stop> {
        let mut results = Vec::new();
        for operation in request.operations {
            let result = match operation.operation {
                Some(WriteOp::Delete(delete)) => self.delete(&delete).map(WriteResult::Delete),
                Some(WriteOp::Set(set)) => self.set(set).map(WriteResult::Set),
                _ => unreachable!("kvcli batches nothing but deletes and sets"),
            };
            let result = match result {
                Ok(mut result) => {
                    match &mut result {
                        WriteResult::Delete(reply) => reply.header = None,
                        WriteResult::Set(reply) => reply.header = None,
                        _ => {}
                    }
                    result
                }
                Err(Stop::Item(error)) => WriteResult::Error(error),
                Err(stop) => return Err(stop),
            };
            results.push(v1::BatchWriteResult {
                result: Some(result),
            });
        }
        Ok(v1::BatchWriteResponse {
            header: Some(self.header()),
            results,
            replayed: false,
        })
    }
}
