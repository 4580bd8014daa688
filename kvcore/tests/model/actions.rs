//! What an action makes of one key: values, counters, deadlines, conditions.

use super::answers::{Rec, Refusal};
use super::model::{Model, Twist};
use super::ops::{Action, Bytes, Condition, Expiry, Increment, Moment, Number, When};

/// What an action makes of a key.
pub(crate) enum Effect {
    /// Nothing, and whether that was what the caller wanted.
    Nothing {
        applied: bool,
    },
    Put(Rec),
    Remove,
}

pub(crate) struct Outcome {
    pub(crate) effect: Effect,
    pub(crate) counter: Option<i64>,
}

impl From<Effect> for Outcome {
    fn from(effect: Effect) -> Self {
        Self {
            effect,
            counter: None,
        }
    }
}

impl Model {
    /// The deadline that an expiry comes to; 0 = never.
    pub(crate) fn deadline(&self, expiry: Expiry, kept: u64) -> u64 {
        let at = |wall: i128| {
            let engine = wall - i128::from(self.skew);
            u64::try_from(engine.max(1)).unwrap_or(u64::MAX)
        };
        match expiry {
            Expiry::Never => 0,
            Expiry::Keep if self.is(Twist::KeepForgetsTheDeadline) => 0,
            Expiry::Keep => kept,
            Expiry::After(ms) => self.now.saturating_add(ms),
            Expiry::At(Moment::Wall(wall)) => at(wall.into()),
            Expiry::At(Moment::FromNow(_)) => unreachable!("it was made a moment of the clock"),
        }
    }

    /// What users are shown for a deadline; 0 = never.
    pub(crate) fn shown(&self, deadline: u64) -> u64 {
        match deadline {
            0 => 0,
            deadline => deadline.saturating_add_signed(self.skew),
        }
    }

    /// What an action makes of a key that holds `current`, in a unit that is the next.
    pub(crate) fn act(
        &self,
        key: &Bytes,
        action: &Action,
        current: Option<&Rec>,
    ) -> Result<Outcome, Refusal> {
        let kept = current.map_or(0, |rec| rec.deadline);
        match action {
            Action::Set { value, expiry } => {
                let deadline = self.deadline(*expiry, kept);
                Ok(self.put_until(key, value, current, deadline).into())
            }
            Action::Delete if current.is_some() => Ok(Effect::Remove.into()),
            Action::Delete => Ok(Effect::Nothing { applied: false }.into()),
            Action::Increment(increment) => self.count(key, increment, current),
            Action::Expire { to, when } => Ok(self.move_expiry(*to, *when, current).into()),
        }
    }

    /// A record whose time has come already leaves nothing behind.
    fn put_until(
        &self,
        key: &Bytes,
        value: &Bytes,
        current: Option<&Rec>,
        deadline: u64,
    ) -> Effect {
        let rec = Rec {
            key: key.clone(),
            value: value.clone(),
            created: current.map_or(self.next(), |rec| rec.created),
            modified: self.next(),
            version: current.map_or(1, |rec| rec.version + 1),
            deadline,
        };
        match (self.expired(&rec), current) {
            (false, _) => Effect::Put(rec),
            (true, Some(_)) => Effect::Remove,
            (true, None) => Effect::Nothing { applied: true },
        }
    }

    fn count(
        &self,
        key: &Bytes,
        increment: &Increment,
        current: Option<&Rec>,
    ) -> Result<Outcome, Refusal> {
        let before = match current {
            None => increment.initial,
            Some(rec) => number(&rec.value).ok_or_else(|| Refusal::new("NotAnInteger"))?,
        };
        let (min, max) = (i128::from(increment.min), i128::from(increment.max));
        let sum = i128::from(before) + i128::from(increment.delta);
        let after = if increment.saturate {
            sum.clamp(min, max)
        } else if (min..=max).contains(&sum) {
            sum
        } else {
            return Err(Refusal::new("OutOfBounds"));
        };
        let deadline = match current {
            Some(_) if self.is(Twist::IncrementsDropTheDeadline) => 0,
            Some(rec) => rec.deadline,
            None => self.deadline(increment.expiry, 0),
        };
        let text = Bytes(after.to_string().into_bytes());
        Ok(Outcome {
            effect: self.put_until(key, &text, current, deadline),
            counter: i64::try_from(after).ok(),
        })
    }

    fn move_expiry(&self, to: Expiry, when: When, current: Option<&Rec>) -> Effect {
        let Some(rec) = current else {
            return Effect::Nothing { applied: false };
        };
        let deadline = self.deadline(to, 0);
        let never = if self.is(Twist::NeverIsEarly) {
            0
        } else {
            u128::MAX
        };
        let end = |deadline: u64| {
            if deadline == 0 {
                never
            } else {
                deadline.into()
            }
        };
        let applies = match when {
            When::Always => true,
            When::IfNone => rec.deadline == 0,
            When::IfSome => rec.deadline != 0,
            When::IfLater => end(deadline) > end(rec.deadline),
            When::IfEarlier => end(deadline) < end(rec.deadline),
        };
        let persists_nothing = deadline == 0 && rec.deadline == 0;
        if !applies || persists_nothing {
            return Effect::Nothing { applied: false };
        }
        let mut effect = self.put_until(&rec.key, &rec.value, current, deadline);
        if let Effect::Put(after) = &mut effect
            && self.is(Twist::AnExpiryChangeKeepsTheVersion)
        {
            after.version = rec.version;
        }
        effect
    }
}

impl Effect {
    pub(crate) fn change(self, key: &Bytes) -> Option<(Bytes, Option<Rec>)> {
        match self {
            Self::Nothing { .. } => None,
            Self::Put(rec) => Some((key.clone(), Some(rec))),
            Self::Remove => Some((key.clone(), None)),
        }
    }
}

/// A number is its own decimal text and nothing else.
fn number(value: &Bytes) -> Option<i64> {
    let number: i64 = std::str::from_utf8(&value.0).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value.0).then_some(number)
}

pub(crate) fn holds(condition: &Condition, current: Option<&Rec>) -> bool {
    let is = |of: fn(&Rec) -> u64, number: &Number| exactly(*number) == current.map_or(0, of);
    match condition {
        Condition::Exists(wanted) => current.is_some() == *wanted,
        Condition::Modified(number) => is(|rec| rec.modified, number),
        Condition::Created(number) => is(|rec| rec.created, number),
        Condition::Version(number) => is(|rec| rec.version, number),
        Condition::Value(value) => current.is_some_and(|rec| rec.value == *value),
    }
}

pub(crate) fn exactly(number: Number) -> u64 {
    match number {
        Number::Exactly(number) => number,
        Number::Current(_) => unreachable!("it was looked up"),
    }
}
