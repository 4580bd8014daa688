//! Transactions: all or nothing, under one revision.

use bytes::Bytes;
use kvproto::v1::{
    self, Compare, CompareOperator, Record, TxnOperation, TxnResult, compare::Target,
    key_range::Range, txn_operation::Operation as Step, txn_result::Result as StepResult,
};

use super::{
    ranges::{contains, named},
    state::{State, Stop},
};

impl State {
    pub(super) fn txn(&mut self, request: v1::TxnRequest) -> Result<v1::TxnResponse, Stop> {
        let records = self.records.clone();
        let revision = self.revision;
        let outcome = self.branch(request);
        if outcome.is_err() {
            self.records = records;
            self.revision = revision;
        }
        let mut reply = outcome?;
        self.seen.push("txn".into());
        let changed = self.revision > revision;
        reply.revision = if changed { self.revision } else { 0 };
        reply.header = Some(self.header());
        Ok(reply)
    }

    fn branch(&mut self, request: v1::TxnRequest) -> Result<v1::TxnResponse, Stop> {
        let mut succeeded = true;
        for compare in &request.compares {
            succeeded &= self.compare(compare)?;
        }
        let steps = if succeeded {
            request.success
        } else {
            request.failure
        };
        let mut responses = Vec::new();
        for step in steps {
            let result = Some(self.step(step)?);
            responses.push(TxnResult { result });
        }
        Ok(v1::TxnResponse {
            succeeded,
            responses,
            ..Default::default()
        })
    }

    fn compare(&self, compare: &Compare) -> Result<bool, Stop> {
        let range = named(compare.range.as_ref())?;
        let inside = self.records.values().filter(|r| contains(range, &r.key));
        let mut subjects: Vec<Option<&Record>> = inside.map(Some).collect();
        if subjects.is_empty() && matches!(range, Range::Key(_)) {
            subjects.push(None);
        }
        Ok(subjects.into_iter().all(|record| holds(compare, record)))
    }

    fn step(&mut self, step: TxnOperation) -> Result<StepResult, Stop> {
        Ok(match step.operation.expect("kvcli says what to do") {
            Step::Get(request) => StepResult::Get(v1::GetResponse {
                header: None,
                ..self.get(&request)?
            }),
            Step::Set(request) => StepResult::Set(v1::SetResponse {
                header: None,
                ..self.set(request)?
            }),
            Step::Delete(request) => StepResult::Delete(v1::DeleteResponse {
                header: None,
                ..self.delete(&request)?
            }),
            Step::Increment(request) => StepResult::Increment(v1::IncrementResponse {
                header: None,
                ..self.increment(&request)?
            }),
            Step::Expire(request) => StepResult::Expire(v1::ExpireResponse {
                header: None,
                ..self.expire(&request)?
            }),
            Step::RangeGet(request) => {
                let range = request.range.as_ref();
                let mut records = self.records_in(range, request.reverse, request.keys_only)?;
                let all = records.len();
                if request.limit > 0 {
                    records.truncate(usize::try_from(request.limit).expect("positive"));
                }
                let more = records.len() < all;
                StepResult::RangeGet(v1::RangeGetResult { records, more })
            }
            Step::RangeDelete(request) => {
                let request = v1::DeleteRangeRequest {
                    range: request.range,
                    ..Default::default()
                };
                let deleted = self.delete_range(&request)?.deleted;
                StepResult::RangeDelete(v1::RangeDeleteResult { deleted })
            }
            Step::Txn(request) => StepResult::Txn(self.branch(request)?),
        })
    }
}

fn holds(compare: &Compare, record: Option<&Record>) -> bool {
    let ordering = match compare.target.as_ref().expect("kvcli says what") {
        Target::Version(wanted) => record.map_or(0, |r| r.version).cmp(wanted),
        Target::CreateRevision(wanted) => record.map_or(0, |r| r.create_revision).cmp(wanted),
        Target::ModRevision(wanted) => record.map_or(0, |r| r.mod_revision).cmp(wanted),
        Target::LeaseId(wanted) => record.map_or(0, |r| r.lease_id).cmp(wanted),
        Target::Exists(wanted) => record.is_some().cmp(wanted),
        Target::Value(wanted) => {
            let value: Option<&Bytes> = record.map(|r| &r.value);
            match value {
                Some(value) => value.cmp(wanted),
                None => return false,
            }
        }
    };
    match compare.operator() {
        CompareOperator::Unspecified => unreachable!("kvcli says how"),
        CompareOperator::Equal => ordering.is_eq(),
        CompareOperator::NotEqual => ordering.is_ne(),
        CompareOperator::Greater => ordering.is_gt(),
        CompareOperator::Less => ordering.is_lt(),
    }
}
