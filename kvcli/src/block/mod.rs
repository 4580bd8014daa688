//! The text of a transaction: several lines, with the fields of a script.
//!
//! ```text
//! txn                               in a script; alone it may be left out
//! if KEY TARGET OPERATOR X          as many as one likes; all must hold
//! if KEY exists
//! if --prefix P version > 0         of a range: must hold for every key in it
//! then
//! COMMAND                           get, set, del, incr, expire, scan, rm …
//! txn … end                         a transaction inside this one
//! else                              may be left out
//! COMMAND
//! end
//! ```
//!
//! A mistake is told with its line and column. In a script nothing inside a
//! block is ever run as a line of its own, whatever is wrong with the block.

mod collect;
mod compare;
mod parse;
mod steps;

use clap::error::{ContextKind, ContextValue};

pub(crate) use self::{
    collect::{Collected, Collector, first_word},
    parse::parse,
};
use crate::{
    args::one_line,
    command::txn::Step,
    script::parse::{Field, SyntaxError},
};

/// A transaction that was read.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) request: kvproto::v1::TxnRequest,
    /// What to make of the results, for each of the two lists.
    pub(crate) success: Vec<Step>,
    pub(crate) failure: Vec<Step>,
}

/// What is wrong with the text of a transaction, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub(crate) struct BlockError {
    pub(crate) line: u64,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl BlockError {
    pub(crate) fn new(line: u64, column: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            column,
            message: message.into(),
        }
    }

    fn at(line: u64, field: &Field, message: impl Into<String>) -> Self {
        Self::new(line, field.column, message)
    }

    fn syntax(line: u64, error: &SyntaxError) -> Self {
        Self::new(line, error.column(), error.to_string())
    }

    /// What clap found wrong, at the field that it is about.
    fn clap(line: u64, fields: &[Field], error: &clap::Error) -> Self {
        let about = [
            ContextKind::InvalidValue,
            ContextKind::InvalidSubcommand,
            ContextKind::InvalidArg,
        ];
        let named = about.into_iter().find_map(|kind| {
            let text = match error.get(kind)? {
                ContextValue::String(text) => text,
                ContextValue::Strings(texts) => texts.first()?,
                _ => return None,
            };
            // `--by <N>` is about the field `--by`.
            let word = text.split(' ').next().unwrap_or(text).as_bytes();
            fields
                .iter()
                .skip(usize::from(kind != ContextKind::InvalidSubcommand))
                .find(|field| {
                    field.bytes == text.as_bytes() || field.bytes == word || begins(field, word)
                })
        });
        let column = named.or(fields.first()).map_or(1, |field| field.column);
        Self::new(line, column, one_line(error))
    }
}

/// Whether a field is this flag with its value after `=`.
fn begins(field: &Field, flag: &[u8]) -> bool {
    let rest = field.bytes.strip_prefix(flag);
    flag.starts_with(b"--") && rest.is_some_and(|rest| rest.starts_with(b"="))
}

#[cfg(test)]
mod tests;
