//! Operations as requests.

use bytes::Bytes;
use kvproto::v1;

use super::super::op::{Change, Key, Operator, Step, Target, Test, TxnStep, Until, When};
use super::Wire;

impl Wire {
    pub(super) fn key(&self, key: Key) -> Bytes {
        format!("{}{key}", self.prefix).into()
    }

    pub(super) fn options(&self) -> v1::WriteOptions {
        v1::WriteOptions {
            durability: self.durability.into(),
            ..Default::default()
        }
    }

    pub(super) fn read_options(&self) -> v1::ReadOptions {
        v1::ReadOptions {
            level: self.level.into(),
            ..Default::default()
        }
    }

    pub(super) fn get(&self, key: Key) -> v1::GetRequest {
        v1::GetRequest {
            key: self.key(key),
            options: None,
        }
    }

    pub(super) fn set(&self, key: Key, value: &str, until: Until) -> v1::SetRequest {
        use v1::expiry::When as W;
        let when = match until {
            Until::Never => None,
            Until::Keep => Some(W::Keep(v1::KeepExpiry {})),
            Until::At(at) => Some(W::AtMs(at)),
            Until::Within(ttl) => Some(W::TtlMs(ttl)),
        };
        v1::SetRequest {
            key: self.key(key),
            value: Bytes::from(value.to_owned()),
            expiry: when.map(|when| v1::Expiry { when: Some(when) }),
            ..Default::default()
        }
    }

    pub(super) fn increment(&self, key: Key, delta: i64) -> v1::IncrementRequest {
        v1::IncrementRequest {
            key: self.key(key),
            delta: Some(delta),
            ..Default::default()
        }
    }

    pub(super) fn expire(&self, key: Key, change: Change, when: When) -> v1::ExpireRequest {
        use v1::expire_request::Expiry as E;
        let expiry = match change {
            Change::At(at) => E::AtMs(at),
            Change::Within(ttl) => E::TtlMs(ttl),
            Change::Persist => E::Persist(v1::Persist {}),
        };
        let condition = match when {
            When::Always => v1::ExpireCondition::Unspecified,
            When::Nx => v1::ExpireCondition::Nx,
            When::Xx => v1::ExpireCondition::Xx,
        };
        v1::ExpireRequest {
            key: self.key(key),
            condition: condition.into(),
            expiry: Some(expiry),
            options: None,
        }
    }

    pub(super) fn txn_request(
        &self,
        compares: &[(Key, Test)],
        success: &[TxnStep],
        failure: &[TxnStep],
    ) -> v1::TxnRequest {
        let steps = |steps: &[TxnStep]| steps.iter().map(|step| self.txn_operation(step)).collect();
        v1::TxnRequest {
            compares: compares
                .iter()
                .map(|(key, test)| self.compare(*key, test))
                .collect(),
            success: steps(success),
            failure: steps(failure),
            options: Some(self.options()),
        }
    }

    fn txn_operation(&self, step: &TxnStep) -> v1::TxnOperation {
        use v1::txn_operation::Operation as O;
        let operation = match step {
            TxnStep::Range => O::RangeGet(v1::RangeGet {
                range: Some(v1::KeyRange {
                    range: Some(v1::key_range::Range::Prefix(self.prefix.clone().into())),
                }),
                ..Default::default()
            }),
            TxnStep::On(key, Step::Get) => O::Get(self.get(*key)),
            TxnStep::On(key, Step::Set { value, until }) => O::Set(self.set(*key, value, *until)),
            TxnStep::On(key, Step::Delete) => O::Delete(v1::DeleteRequest {
                key: self.key(*key),
                ..Default::default()
            }),
            TxnStep::On(key, Step::Increment(delta)) => O::Increment(self.increment(*key, *delta)),
            TxnStep::On(key, Step::Expire(change, when)) => {
                O::Expire(self.expire(*key, *change, *when))
            }
        };
        v1::TxnOperation {
            operation: Some(operation),
        }
    }

    fn compare(&self, key: Key, test: &Test) -> v1::Compare {
        use v1::compare::Target as T;
        let target = match &test.target {
            Target::Exists(is) => T::Exists(*is),
            Target::Modified(is) => T::ModRevision(*is),
            Target::Created(is) => T::CreateRevision(*is),
            Target::Version(is) => T::Version(*is),
            Target::Value(is) => T::Value(is.clone().into()),
        };
        let operator = match test.operator {
            Operator::Equal => v1::CompareOperator::Equal,
            Operator::NotEqual => v1::CompareOperator::NotEqual,
            Operator::Greater => v1::CompareOperator::Greater,
            Operator::Less => v1::CompareOperator::Less,
        };
        v1::Compare {
            range: Some(v1::KeyRange {
                range: Some(v1::key_range::Range::Key(self.key(key))),
            }),
            operator: operator.into(),
            target: Some(target),
        }
    }
}

pub(super) fn condition(target: &Target) -> v1::Condition {
    use v1::condition::Test as T;
    let test = match target {
        Target::Exists(is) => T::Exists(*is),
        Target::Modified(is) => T::ModRevision(*is),
        Target::Created(is) => T::CreateRevision(*is),
        Target::Version(is) => T::Version(*is),
        Target::Value(is) => T::Value(is.clone().into()),
    };
    v1::Condition { test: Some(test) }
}
