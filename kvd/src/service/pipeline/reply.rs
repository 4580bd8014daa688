//! Results as they go, written once.
//!
//! ```text
//!  PipelineResponse  1 header, 2 results …
//!  OperationResult   1 id, then one of: 2 GetResponse, 3 SetResponse, …
//!  GetResponse       1 header, 2 found, 3 record
//!  SetResponse       1 header, 2 applied, 3 revision, 4 record
//!  Record            1 key, 2 value, 3 … 7 numbers
//! ```
//! What plain reads and writes are told goes from the record to the wire without a message in
//! between. All lengths are known before the first byte is written. The bytes are those that
//! prost writes; other results it writes itself.

use bytes::BufMut;
use kvproto::v1::{self, operation_result::Result as OpResult};
use prost::encoding::{encode_varint, encoded_len_varint, message};

use super::super::convert::signed;
use crate::backend::{Record, Revision, Store};

const RESULTS: u8 = 2;
const ID: u8 = 1;
const GET: u8 = 2;
const SET: u8 = 3;
/// In each reply.
const HEADER: u8 = 1;

/// In front of every message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// One message.
#[derive(Debug)]
pub(in crate::service) struct Reply {
    pub(super) header: v1::ResponseHeader,
    pub(super) results: Results,
}

/// Results in order, as the fields of their message.
#[derive(Debug, Default)]
pub(super) struct Results {
    bytes: Vec<u8>,
    pub(super) count: usize,
}

impl Reply {
    /// How many bytes it is on the wire at least.
    pub(super) fn weight(&self) -> usize {
        self.encoded_len() + PREFIX
    }

    pub(super) fn encoded_len(&self) -> usize {
        message::encoded_len(HEADER.into(), &self.header) + self.results.bytes.len()
    }

    pub(super) fn encode(&self, to: &mut impl BufMut) {
        message::encode(HEADER.into(), &self.header, to);
        to.put_slice(&self.results.bytes);
    }
}

impl Results {
    /// With room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            count: 0,
        }
    }

    /// Any result.
    pub(super) fn push(&mut self, id: u64, result: OpResult) {
        let result = v1::OperationResult {
            id,
            result: Some(result),
        };
        message::encode(RESULTS.into(), &result, &mut self.bytes);
        self.count += 1;
    }

    /// What a plain Get has found.
    pub(super) fn got<S: Store>(
        &mut self,
        id: u64,
        header: &v1::ResponseHeader,
        record: Option<&Record>,
        store: &S,
    ) {
        let header = Numbers::of_header(header);
        let record = record.map(|record| Whole::of(record, store));
        let found = Numbers([(2, u64::from(record.is_some()))]);
        let reply = nested(header.len())
            + found.len()
            + record.as_ref().map_or(0, |record| nested(record.len()));
        let mut to = self.begin(id, GET, reply);
        header.write_inside(HEADER, &mut to);
        found.write(&mut to);
        if let Some(record) = record {
            open(3, record.len(), &mut to);
            record.write(&mut to);
        }
        debug_assert!(to.is_empty(), "the lengths add up");
    }

    /// What a plain Set has done.
    pub(super) fn set<S: Store>(
        &mut self,
        id: u64,
        header: &v1::ResponseHeader,
        revision: Revision,
        record: Option<&Record>,
        store: &S,
    ) {
        let header = Numbers::of_header(header);
        let record = record.map(|record| Numbers::of_record(record, store));
        let applied = Numbers([(2, 1), (3, revision)]);
        let reply = nested(header.len())
            + applied.len()
            + record.as_ref().map_or(0, |record| nested(record.len()));
        let mut to = self.begin(id, SET, reply);
        header.write_inside(HEADER, &mut to);
        applied.write(&mut to);
        if let Some(record) = record {
            record.write_inside(4, &mut to);
        }
        debug_assert!(to.is_empty(), "the lengths add up");
    }

    /// Makes room for a result whose reply has so many bytes, and writes what is in front of it.
    fn begin(&mut self, id: u64, reply: u8, len: usize) -> &mut [u8] {
        let id = Numbers([(ID, id)]);
        let result = id.len() + nested(len);
        let start = self.bytes.len();
        self.bytes.resize(start + nested(result), 0);
        self.count += 1;
        let mut to = &mut self.bytes[start..];
        open(RESULTS, result, &mut to);
        id.write(&mut to);
        open(reply, len, &mut to);
        to
    }
}

/// Numbers and truths, each with the number of its field. What is 0 is left out.
struct Numbers<const N: usize>([(u8, u64); N]);

impl Numbers<3> {
    fn of_header(header: &v1::ResponseHeader) -> Self {
        debug_assert!(header.position.is_empty(), "of the whole message only");
        Self([
            (1, header.store_revision.cast_unsigned()),
            (2, header.durable_revision.cast_unsigned()),
            (3, header.durable.into()),
        ])
    }
}

impl Numbers<5> {
    fn of_record<S: Store>(record: &Record, store: &S) -> Self {
        let number = |number| signed(number).cast_unsigned();
        Self([
            (3, number(record.create_revision().0)),
            (4, number(record.mod_revision().0)),
            (5, number(record.version())),
            (6, number(store.expires_at_ms(record))),
            (7, number(record.lease_id())),
        ])
    }
}

impl<const N: usize> Numbers<N> {
    fn len(&self) -> usize {
        let present = self.0.iter().filter(|(_, number)| *number != 0);
        present
            .map(|&(_, number)| 1 + encoded_len_varint(number))
            .sum()
    }

    fn write(&self, to: &mut impl BufMut) {
        for &(field, number) in &self.0 {
            if number != 0 {
                to.put_u8(field << 3);
                encode_varint(number, to);
            }
        }
    }

    /// As a message of its own.
    fn write_inside(&self, field: u8, to: &mut impl BufMut) {
        open(field, self.len(), to);
        self.write(to);
    }
}

/// A record with key and value.
struct Whole<'a> {
    texts: [(u8, &'a [u8]); 2],
    numbers: Numbers<5>,
}

impl<'a> Whole<'a> {
    fn of<S: Store>(record: &'a Record, store: &S) -> Self {
        Self {
            texts: [(1, record.key()), (2, record.value())],
            numbers: Numbers::of_record(record, store),
        }
    }

    fn len(&self) -> usize {
        let present = self.texts.iter().filter(|(_, text)| !text.is_empty());
        present.map(|(_, text)| nested(text.len())).sum::<usize>() + self.numbers.len()
    }

    fn write(&self, to: &mut impl BufMut) {
        for &(field, text) in &self.texts {
            if !text.is_empty() {
                open(field, text.len(), to);
                to.put_slice(text);
            }
        }
        self.numbers.write(to);
    }
}

/// Bytes of a field with so much in it. All numbers of fields here are below 16.
fn nested(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

/// The key of a field with so much in it, and its length.
fn open(field: u8, len: usize, to: &mut impl BufMut) {
    to.put_u8(field << 3 | 2);
    encode_varint(len as u64, to);
}

#[cfg(test)]
mod tests;
