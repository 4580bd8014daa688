//! Messages as they come, read without being taken apart.
//!
//! ```text
//!  PipelineRequest  1 operations …, 9 require …
//!  Operation        1 id, then one of: 2 Get, 3 Set, …
//!  Get              1 key, 9 options ─ 1 level
//!  Set              1 key, 2 value, 9 options ─ 1 durability
//! ```
//! Nearly all operations are a Get of a key or a Set of a value and ask for nothing else. Of
//! those only the places of key and value in the message are kept: no copy, no count of
//! references for each. **Whatever else a field, its order or its encoding says**, the
//! operation, or the whole message, is read by prost, and so are all errors: the two ways
//! never disagree, but that an operation may be nested one message deeper.

use bytes::Bytes;
use kvproto::v1;
use prost::encoding::decode_varint;
use prost::{DecodeError, Message as _};

use super::super::weight;

// Keys of fields: the number, and how it is encoded.
const OPERATIONS: u64 = 1 << 3 | LENGTH;
const ID: u64 = 1 << 3 | VARINT;
const GET: u64 = 2 << 3 | LENGTH;
const SET: u64 = 3 << 3 | LENGTH;
const KEY: u64 = 1 << 3 | LENGTH;
const VALUE: u64 = 2 << 3 | LENGTH;
const OPTIONS: u64 = 9 << 3 | LENGTH;
/// Of `ReadOptions` the level, of `WriteOptions` the durability.
const WISH: u64 = 1 << 3 | VARINT;
/// No field has this key.
const END: u64 = 0;
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// One message.
#[derive(Debug, Default)]
pub(in crate::service) struct Message {
    /// What the spans are of.
    pub(super) bytes: Bytes,
    pub(super) operations: Vec<Operation>,
    pub(super) require: Vec<i32>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: u64,
    pub(super) asked: Asked,
}

/// What an operation asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A Get with nothing but a level; 0 is the server's.
    Get {
        key: Span,
        level: i32,
    },
    /// A Set with nothing but a durability; 0 is the server's.
    Set {
        key: Span,
        value: Span,
        durability: i32,
    },
    Other(Box<v1::Operation>),
}

/// Some bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn of(self, message: &[u8]) -> &[u8] {
        &message[self.start as usize..self.end as usize]
    }
}

impl Message {
    pub(super) fn read(bytes: Bytes) -> Result<Self, DecodeError> {
        if let Some(operations) = operations(&bytes) {
            return Ok(Self {
                bytes,
                operations,
                require: Vec::new(),
            });
        }
        let whole = v1::PipelineRequest::decode(bytes)?;
        Ok(Self {
            bytes: Bytes::new(),
            operations: whole.operations.into_iter().map(other).collect(),
            require: whole.require,
        })
    }

    /// Bytes of keys and values.
    pub(super) fn weight(&self) -> usize {
        self.operations.iter().map(Operation::weight).sum()
    }
}

impl Operation {
    /// Bytes of keys and values.
    pub(super) fn weight(&self) -> usize {
        match &self.asked {
            Asked::Get { key, .. } => key.len(),
            Asked::Set { key, value, .. } => key.len() + value.len(),
            Asked::Other(operation) => weight::operation(operation),
        }
    }
}

fn other(operation: v1::Operation) -> Operation {
    Operation {
        id: operation.id,
        asked: Asked::Other(Box::new(operation)),
    }
}

/// The operations of a message that has nothing else.
fn operations(message: &Bytes) -> Option<Vec<Operation>> {
    let mut operations = Vec::new();
    let mut fields = Fields::of(message)?;
    loop {
        let field = fields.next()?;
        if field == END {
            return Some(operations);
        }
        let span = fields.span(field, OPERATIONS)?;
        operations.push(if let Some(operation) = fields.inside(span).operation() {
            operation
        } else {
            let bytes = message.slice(span.start as usize..span.end as usize);
            other(v1::Operation::decode(bytes).ok()?)
        });
    }
}

/// Walks over fields. `None` is all that is not as it nearly always is.
struct Fields<'a> {
    message: &'a [u8],
    at: u32,
    end: u32,
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Option<Self> {
        let end = u32::try_from(message.len()).ok()?;
        Some(Self {
            message,
            at: 0,
            end,
        })
    }

    fn inside(&self, span: Span) -> Self {
        Self {
            message: self.message,
            at: span.start,
            end: span.end,
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut rest = &self.message[self.at as usize..self.end as usize];
        let &first = rest.first()?;
        if first < 0x80 {
            self.at += 1;
            return Some(first.into());
        }
        let number = decode_varint(&mut rest).ok()?;
        self.at = self.end - u32::try_from(rest.len()).ok()?;
        Some(number)
    }

    /// The key of the next field, or [`END`].
    fn next(&mut self) -> Option<u64> {
        if self.at == self.end {
            return Some(END);
        }
        self.varint().filter(|&field| field != END)
    }

    /// The content of a field that must be `wanted`.
    fn span(&mut self, field: u64, wanted: u64) -> Option<Span> {
        if field != wanted {
            return None;
        }
        let length = u32::try_from(self.varint()?).ok()?;
        let start = self.at;
        let end = start.checked_add(length).filter(|&end| end <= self.end)?;
        self.at = end;
        Some(Span { start, end })
    }

    fn operation(&mut self) -> Option<Operation> {
        let (mut id, mut asked) = (None, None);
        loop {
            let field = self.next()?;
            let twice = match field {
                END => break,
                ID => id.replace(self.varint()?).is_some(),
                GET => {
                    let span = self.span(field, GET)?;
                    asked.replace(self.inside(span).get()?).is_some()
                }
                SET => {
                    let span = self.span(field, SET)?;
                    asked.replace(self.inside(span).set()?).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(Operation {
            id: id.unwrap_or(0),
            asked: asked?,
        })
    }

    fn get(&mut self) -> Option<Asked> {
        let (mut key, mut level) = (Span::default(), None);
        loop {
            match self.next()? {
                END => break,
                KEY => key = self.span(KEY, KEY)?,
                field => self.wish(field, &mut level)?,
            }
        }
        let level = level.unwrap_or(0);
        Some(Asked::Get { key, level })
    }

    fn set(&mut self) -> Option<Asked> {
        let (mut key, mut value, mut durability) = (Span::default(), Span::default(), None);
        loop {
            match self.next()? {
                END => break,
                KEY => key = self.span(KEY, KEY)?,
                VALUE => value = self.span(VALUE, VALUE)?,
                field => self.wish(field, &mut durability)?,
            }
        }
        Some(Asked::Set {
            key,
            value,
            durability: durability.unwrap_or(0),
        })
    }

    /// Options that are one number, for the first time.
    fn wish(&mut self, field: u64, to: &mut Option<i32>) -> Option<()> {
        let span = self.span(field, OPTIONS)?;
        let mut options = self.inside(span);
        let wish = match options.next()? {
            END => 0,
            WISH => i32::try_from(options.varint()?).ok()?,
            _ => return None,
        };
        let once = options.next()? == END && to.replace(wish).is_none();
        once.then_some(())
    }
}

#[cfg(test)]
mod tests;
