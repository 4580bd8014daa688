//! From the lines of a block to the request.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use kvproto::v1::{TxnOperation, TxnRequest, txn_operation::Operation};

use super::{Block, BlockError, compare::compare, steps::steps};
use crate::{
    args::CallFlags,
    command::{Place, txn},
    failure::Failure,
    script::{
        Grammar,
        parse::{Field, fields, is_idle},
    },
};

/// Transactions inside transactions; a server allows fewer.
const MAX_DEPTH: usize = 32;

/// Reads the lines of a block. `opened` is the line of a `txn` that came before
/// them; without one the block may begin with `txn`, and if it does not, its
/// `end` may be left out too.
pub(crate) fn parse(
    lines: &[(u64, Vec<u8>)],
    opened: Option<u64>,
    grammar: &mut Grammar,
) -> Result<Block, BlockError> {
    let mut parser = Parser {
        open: opened.map(Frame::new).into_iter().collect(),
        done: None,
        implicit: false,
        grammar,
    };
    for (number, line) in lines.iter().filter(|(_, line)| !is_idle(line)) {
        let fields = fields(line).map_err(|error| BlockError::syntax(*number, &error))?;
        parser.line(*number, &fields)?;
    }
    parser.finish(lines.last().map_or(1, |(number, _)| *number))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    If,
    Then,
    Else,
}

/// A block that is not closed yet.
struct Frame {
    opened: u64,
    part: Part,
    block: Block,
}

impl Frame {
    fn new(opened: u64) -> Self {
        Self {
            opened,
            part: Part::If,
            block: Block::default(),
        }
    }

    fn push(&mut self, operation: TxnOperation, step: txn::Step) {
        let TxnRequest {
            success, failure, ..
        } = &mut self.block.request;
        let (operations, steps) = if self.part == Part::Else {
            (failure, &mut self.block.failure)
        } else {
            (success, &mut self.block.success)
        };
        operations.push(operation);
        steps.push(step);
    }
}

struct Parser<'a> {
    /// From the outermost to the innermost.
    open: Vec<Frame>,
    done: Option<Block>,
    /// The outermost block began without `txn`.
    implicit: bool,
    grammar: &'a mut Grammar,
}

impl Parser<'_> {
    fn line(&mut self, number: u64, fields: &[Field]) -> Result<(), BlockError> {
        let Some(first) = fields.first() else {
            return Ok(());
        };
        if self.done.is_some() {
            return Err(BlockError::at(
                number,
                first,
                "nothing follows the end of the transaction",
            ));
        }
        if self.open.is_empty() {
            self.open.push(Frame::new(number));
            if first.bytes == b"txn" {
                return alone(number, fields);
            }
            self.implicit = true;
        }
        let depth = self.open.len();
        let Some(frame) = self.open.last_mut() else {
            return Ok(());
        };
        let fault = |text: &str| Err(BlockError::at(number, first, text));
        match (&*first.bytes, frame.part) {
            (b"if", Part::If) => {
                frame.block.request.compares.push(compare(number, fields)?);
                Ok(())
            }
            (b"if", _) => fault("if comes before then"),
            (b"then", Part::If) => {
                frame.part = Part::Then;
                alone(number, fields)
            }
            (b"then", _) => fault("a second then"),
            (_, Part::If) => fault("expected if or then"),
            (b"else", Part::Then) => {
                frame.part = Part::Else;
                alone(number, fields)
            }
            (b"else", _) => fault("a second else"),
            (b"end", _) => {
                alone(number, fields)?;
                self.close();
                Ok(())
            }
            (b"txn", _) if depth >= MAX_DEPTH => fault("too many transactions inside one another"),
            (b"txn", _) => {
                self.open.push(Frame::new(number));
                alone(number, fields)
            }
            _ => self.command(number, fields),
        }
    }

    /// Ends the innermost block.
    fn close(&mut self) {
        let Some(frame) = self.open.pop() else {
            return;
        };
        let Some(outer) = self.open.last_mut() else {
            self.done = Some(frame.block);
            return;
        };
        let Block {
            request,
            success,
            failure,
        } = frame.block;
        let operation = TxnOperation {
            operation: Some(Operation::Txn(request)),
        };
        outer.push(operation, txn::Step::nested(success, failure));
    }

    fn command(&mut self, number: u64, fields: &[Field]) -> Result<(), BlockError> {
        let arguments = fields
            .iter()
            .map(|field| OsString::from_vec(field.bytes.clone()));
        let line = self
            .grammar
            .read(arguments.collect())
            .map_err(|error| BlockError::clap(number, fields, &error))?;
        let at = |flag: &str| {
            let named = fields
                .iter()
                .find(|field| field.bytes.starts_with(flag.as_bytes()));
            named.or(fields.first()).map_or(1, |field| field.column)
        };
        if line.call != CallFlags::default() {
            let flag = call_flag(&line.call);
            let text =
                format!("{flag} holds for the whole transaction: it stands on the first line");
            return Err(BlockError::new(number, at(flag), text));
        }
        if line.command.wants_exact_bytes() {
            let text = "--no-newline: a transaction prints a line per command";
            return Err(BlockError::new(number, at("--no-newline"), text));
        }
        let prepared = line
            .command
            .prepare(&CallFlags::default(), Place::Transaction);
        let prepared = prepared.map_err(|failure| match failure {
            Failure::Block(error) => error,
            other => BlockError::new(number, at(""), other.to_string()),
        })?;
        let steps = steps(prepared)
            .map_err(|unfit| BlockError::new(number, at(unfit.flag), unfit.message))?;
        if let Some(frame) = self.open.last_mut() {
            for (operation, step) in steps {
                frame.push(operation, step);
            }
        }
        Ok(())
    }

    fn finish(mut self, last: u64) -> Result<Block, BlockError> {
        if self.implicit && self.open.len() == 1 && self.open[0].part != Part::If {
            self.close();
        }
        match (self.done, self.open.last()) {
            (Some(block), _) => Ok(block),
            (None, Some(frame)) if self.implicit && self.open.len() == 1 => {
                let text = "the transaction ends without then";
                Err(BlockError::new(last.max(frame.opened), 1, text))
            }
            (None, Some(frame)) => {
                let text = "this transaction is never closed with end";
                Err(BlockError::new(frame.opened, 1, text))
            }
            (None, None) => Err(BlockError::new(last, 1, "there is no transaction")),
        }
    }
}

/// Sees to it that a word stands alone on its line.
fn alone(number: u64, fields: &[Field]) -> Result<(), BlockError> {
    match fields.get(1) {
        None => Ok(()),
        Some(more) => {
            let word = crate::text::show(&fields[0].bytes);
            let text = format!("{word} stands alone on its line");
            Err(BlockError::at(number, more, text))
        }
    }
}

/// The first flag of a call that was given.
fn call_flag(call: &CallFlags) -> &'static str {
    if call.durability.is_some() {
        "--durability"
    } else if call.read_level.is_some() {
        "--read-level"
    } else if call.at_revision.is_some() {
        "--at-revision"
    } else if call.min_position.is_some() {
        "--min-position"
    } else if !call.require.is_empty() {
        "--require"
    } else if call.request_id.is_some() {
        "--request-id"
    } else {
        "--no-request-id"
    }
}
