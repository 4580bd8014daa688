//! Asking before what cannot be taken back: the removal of a range.
//!
//! What goes is counted first. A few keys take a `y`; all keys, or many, take
//! their number, so that nobody answers before reading.

use std::io::{self, Write as _};

use kvproto::v1::{self, txn_operation::Operation};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{Ask, Prepared, range::describe, rm};
use crate::{
    call::Caller,
    failure::{Failure, complain},
};

/// From here on a `y` is not enough.
const MANY: i64 = 1_000;

/// Why somebody has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A range goes; `whole` if it is every key there is.
    Range { whole: bool },
    /// A transaction may remove ranges.
    Transaction,
}

/// What is asked, and the answer that lets the command run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) text: String,
    number: Option<i64>,
}

impl Question {
    /// About a command that is in doubt; none about any other.
    pub(crate) async fn about(
        prepared: &Prepared,
        caller: &mut Caller,
    ) -> Result<Option<Self>, Failure> {
        Ok(match (&prepared.ask, prepared.confirm) {
            (Ask::DeleteRange(request), Some(Doubt::Range { whole })) => {
                let keys = rm::count(caller, request).await?;
                Some(Self::of_range(keys, request.range.as_ref(), whole))
            }
            (Ask::Txn(request), Some(Doubt::Transaction)) => Self::of_transaction(request),
            _ => None,
        })
    }

    fn of_range(keys: i64, range: Option<&v1::KeyRange>, whole: bool) -> Self {
        let noun = if keys == 1 { "key" } else { "keys" };
        let what = format!("remove {keys} {noun} {}?", describe(range));
        let number = ((whole && keys > 0) || keys >= MANY).then_some(keys);
        let text = match number {
            Some(number) => format!("{what} Type {number} to go on: "),
            None => format!("{what} [y/N] "),
        };
        Self { text, number }
    }

    fn of_transaction(request: &v1::TxnRequest) -> Option<Self> {
        let mut ranges = Vec::new();
        collect(request, &mut ranges);
        if ranges.is_empty() {
            return None;
        }
        Some(Self {
            text: format!(
                "this transaction may remove the keys {}. Run it? [y/N] ",
                ranges.join("; and those ")
            ),
            number: None,
        })
    }

    /// Whether the answer means yes.
    pub(crate) fn is_yes(&self, answer: &str) -> bool {
        let answer = answer.trim();
        match self.number {
            Some(number) => answer.parse() == Ok(number),
            None => matches!(answer.to_lowercase().as_str(), "y" | "yes"),
        }
    }
}

/// The ranges that a transaction may remove, also those inside it.
fn collect(request: &v1::TxnRequest, ranges: &mut Vec<String>) {
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.operation {
            Some(Operation::RangeDelete(delete)) => ranges.push(describe(delete.range.as_ref())),
            Some(Operation::Txn(inner)) => collect(inner, ranges),
            _ => {}
        }
    }
}

/// Asks the person at the terminal, in a run of one command.
pub(crate) async fn ask(prepared: &Prepared, caller: &mut Caller) -> Result<bool, Failure> {
    let Some(question) = Question::about(prepared, caller).await? else {
        return Ok(true);
    };
    // A prompt that nobody can see is answered by nobody.
    let _ = write!(io::stderr(), "{}", question.text);
    let mut line = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await
        .map_err(|error| Failure::usage(format!("cannot read the answer: {error}")))?;
    let yes = question.is_yes(&line);
    if !yes {
        complain("nothing was removed");
    }
    Ok(yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::all_keys;

    #[test]
    fn few_keys_take_a_word_and_many_their_number() {
        let range = all_keys();
        let few = Question::of_range(3, Some(&range), false);
        assert_eq!(few.text, "remove 3 keys there are? [y/N] ");
        assert!(few.is_yes(" Y\n") && few.is_yes("yes") && !few.is_yes("3") && !few.is_yes(""));
        for (keys, whole) in [(3, true), (MANY, false)] {
            let question = Question::of_range(keys, Some(&range), whole);
            assert!(question.text.ends_with(&format!("Type {keys} to go on: ")));
            assert!(question.is_yes(&format!("{keys}\n")));
            assert!(!question.is_yes("y") && !question.is_yes("") && !question.is_yes("4"));
        }
    }

    #[test]
    fn ranges_inside_transactions_are_found() {
        let delete = v1::TxnOperation {
            operation: Some(Operation::RangeDelete(v1::RangeDelete {
                range: Some(all_keys()),
            })),
        };
        let inner = v1::TxnRequest {
            failure: vec![delete],
            ..v1::TxnRequest::default()
        };
        let nested = v1::TxnOperation {
            operation: Some(Operation::Txn(inner)),
        };
        let outer = v1::TxnRequest {
            success: vec![nested],
            ..v1::TxnRequest::default()
        };
        let question = Question::of_transaction(&outer).expect("a question");
        assert!(
            question.text.contains("remove the keys there are"),
            "{}",
            question.text
        );
        assert_eq!(Question::of_transaction(&v1::TxnRequest::default()), None);
    }
}
