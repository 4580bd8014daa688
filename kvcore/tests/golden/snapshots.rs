//! A snapshot.

use kvcore::base::op::RequestTag;
use kvcore::base::revision::Revision;
use kvcore::format::StoreId;
use kvcore::format::snapshot::{
    BlockKind, End, Purpose, RecordView, RequestView, SnapshotHeader, put_block, put_record,
    put_request, records, requests,
};

use crate::assert_golden;

/// A whole file: header, a block of records, one of requests, the End.
#[test]
fn snapshot() {
    let header = SnapshotHeader {
        store_id: StoreId(*b"0123456789abcdef"),
        start: Revision(500_000),
        salt: 0x1122_3344_5566_7788,
        engine_ms: 1_700_000_000_000,
        wall_ms: 1_700_000_000_001,
        purpose: Purpose::Snapshot,
    };
    let plain = RecordView {
        mod_revision: Revision(499_000),
        create_revision: Revision(498_000),
        version: 3,
        deadline_ms: 0,
        lease_id: 0,
        key: b"plain",
        value: b"value",
    };
    let mortal = RecordView {
        mod_revision: Revision(500_050),
        create_revision: Revision(500_050),
        version: 1,
        deadline_ms: 1_700_000_060_000,
        lease_id: 77,
        key: b"session",
        value: b"",
    };
    let request = RequestView {
        tag: RequestTag {
            id: b"request-1",
            fingerprint: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
            outcome: &[0, 1],
        },
        revision: Revision(499_999),
        at_ms: 1_700_000_000_000,
    };
    let end = End {
        end: Revision(500_100),
        records: 2,
        requests: 1,
        blocks: 2,
    };
    let mut bytes = header.encode().to_vec();
    let mut link = SnapshotHeader::crc_of(&bytes);
    let mut payloads = [Vec::new(), Vec::new(), end.encode().to_vec()];
    put_record(&mut payloads[0], &plain);
    put_record(&mut payloads[0], &mortal);
    put_request(&mut payloads[1], &request);
    let kinds = [
        (BlockKind::Records, 2),
        (BlockKind::Requests, 1),
        (BlockKind::End, 0),
    ];
    for (kind, payload) in kinds.into_iter().zip(&payloads) {
        let offset = bytes.len() as u64;
        link = put_block(&mut bytes, header.seed(), offset, link, kind, payload);
    }
    assert_golden("snapshot.bin", &bytes);
    assert_eq!(SnapshotHeader::decode(&bytes), Ok(header));
    let read: Result<Vec<_>, _> = records(&payloads[0], 2).collect();
    assert_eq!(read, Ok(vec![plain, mortal]));
    let read: Result<Vec<_>, _> = requests(&payloads[1], 1).collect();
    assert_eq!(read, Ok(vec![request]));
    assert_eq!(End::decode(&payloads[2]), Ok(end));
}
