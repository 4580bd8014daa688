//! Operations on ranges.

use bytes::Bytes;
use kvproto::v1::{self, ErrorReason, KeyRange, Record, key_range::Range};
use tonic::Code;

use super::state::{State, Stop, item};

/// As in kvd: the most that one step removes.
const ATOMIC_KEYS: usize = 4_096;

pub(super) fn contains(range: &Range, key: &Bytes) -> bool {
    match range {
        Range::Prefix(prefix) => key.starts_with(prefix),
        Range::Span(span) => *key >= span.start && (span.end.is_empty() || *key < span.end),
        Range::Key(only) => key == only,
        Range::All(_) => true,
    }
}

/// The range of a request, which has to name one.
pub(super) fn named(range: Option<&KeyRange>) -> Result<&Range, Stop> {
    let range = range.and_then(|range| range.range.as_ref());
    match range {
        None => Err(item(
            Code::InvalidArgument,
            ErrorReason::BadRange,
            "no range",
        )),
        Some(Range::Prefix(empty) | Range::Key(empty)) if empty.is_empty() => {
            let text = "empty prefix or key";
            Err(item(Code::InvalidArgument, ErrorReason::BadRange, text))
        }
        Some(range) => Ok(range),
    }
}

impl State {
    /// Records of a range in the order asked for.
    pub(super) fn records_in(
        &self,
        range: Option<&KeyRange>,
        reverse: bool,
        keys_only: bool,
    ) -> Result<Vec<Record>, Stop> {
        let range = named(range)?;
        let inside = self.records.values().filter(|r| contains(range, &r.key));
        let mut records: Vec<Record> = inside.cloned().collect();
        if reverse {
            records.reverse();
        }
        if keys_only {
            for record in &mut records {
                record.value = Bytes::new();
            }
        }
        Ok(records)
    }

    /// The pages of a scan. The token is the last key, marked with the direction.
    pub(super) fn scan(
        &mut self,
        request: &v1::ScanRequest,
    ) -> Result<Vec<v1::ScanResponse>, Stop> {
        self.check_loading()?;
        self.scans.push(request.clone());
        let mut records =
            self.records_in(request.range.as_ref(), request.reverse, request.keys_only)?;
        let mark = if request.reverse { b'<' } else { b'>' };
        if let Some((direction, last)) = request.token.split_first() {
            if *direction != mark {
                let text = "another direction";
                return Err(item(Code::InvalidArgument, ErrorReason::BadToken, text));
            }
            let after = records.iter().position(|record| record.key == last);
            records.drain(..after.map_or(0, |at| at + 1));
        }
        let all = records.len();
        if request.limit > 0 {
            records.truncate(usize::try_from(request.limit).expect("positive"));
        }
        let size = match request.page_size {
            0 => 1_000,
            size => usize::try_from(size).expect("positive"),
        };
        let mut pages = Vec::new();
        let mut sent = 0;
        for page in records.chunks(size) {
            sent += page.len();
            let token = match page.last() {
                Some(last) if sent < all => [&[mark][..], &last.key].concat().into(),
                _ => Bytes::new(),
            };
            pages.push(v1::ScanResponse {
                header: Some(self.header()),
                records: page.to_vec(),
                token,
            });
        }
        if pages.is_empty() {
            pages.push(v1::ScanResponse {
                header: Some(self.header()),
                ..Default::default()
            });
        }
        Ok(pages)
    }

    pub(super) fn count(&mut self, request: &v1::CountRequest) -> Result<v1::CountResponse, Stop> {
        let records = self.records_in(request.range.as_ref(), false, true)?;
        Ok(v1::CountResponse {
            header: Some(self.header()),
            count: i64::try_from(records.len()).expect("few keys"),
        })
    }

    pub(super) fn delete_range(
        &mut self,
        request: &v1::DeleteRangeRequest,
    ) -> Result<v1::DeleteRangeResponse, Stop> {
        let mut records = self.records_in(request.range.as_ref(), false, true)?;
        let limit = match request.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).expect("positive"),
        };
        let more = records.len() > limit;
        records.truncate(limit);
        if request.atomic.unwrap_or(true) && records.len() > ATOMIC_KEYS {
            let text = "too many keys for one step";
            return Err(item(
                Code::FailedPrecondition,
                ErrorReason::RangeTooLarge,
                text,
            ));
        }
        let removes = !request.dry_run && !records.is_empty();
        if removes {
            self.seen.push("rm".into());
            self.revision += 1;
            for record in &records {
                self.records.remove(&record.key);
            }
        }
        let revision = if removes { self.revision } else { 0 };
        Ok(v1::DeleteRangeResponse {
            header: Some(self.header()),
            deleted: i64::try_from(records.len()).expect("few keys"),
            first_revision: revision,
            last_revision: revision,
            more,
            replayed: false,
        })
    }

    /// Any digest will do.
    pub(super) fn hash(&mut self, request: &v1::HashRequest) -> Result<v1::HashResponse, Stop> {
        self.check_loading()?;
        self.hashes.push(request.clone());
        let records = self.records_in(request.range.as_ref(), false, false)?;
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for byte in records.iter().flat_map(|r| r.key.iter().chain(&r.value)) {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(v1::HashResponse {
            header: Some(self.header()),
            hash: digest.to_le_bytes().to_vec().into(),
            count: i64::try_from(records.len()).expect("few keys"),
        })
    }
}
