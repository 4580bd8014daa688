//! What never reaches a handler: the transport answers by itself, without ErrorInfo.

use super::super::support::{raw, set};
use super::call::Call;
use super::{Row, row};
use bytes::{BufMut as _, Bytes, BytesMut};
use tonic::Code;

/// A frame that announces `length` bytes and brings `present`.
fn frame(flag: u8, length: u32, present: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(flag);
    bytes.put_u32(length);
    bytes.put_slice(present);
    bytes.freeze()
}

#[expect(clippy::too_many_lines, reason = "a table, one row each")]
pub(super) fn made_by_tonic() -> Vec<Row> {
    const SET: &str = "/kvd.v1.KvService/Set";
    let raw = |path, headers, body| Call::Raw {
        path,
        headers,
        body,
    };
    let set_raw = |body| raw(SET, &[], body);
    let good = raw::framed(&set("k", "v"));
    vec![
        row(
            "64 MiB announced",
            set_raw(frame(0, 64 << 20, b"")),
            Code::OutOfRange,
            None,
            "67108864",
        ),
        row(
            "not protobuf",
            set_raw(frame(0, 3, b"\xff\xff\xff")),
            Code::Internal,
            None,
            "",
        ),
        row(
            "cut short",
            set_raw(frame(0, 100, b"\x0a\x01k")),
            Code::Internal,
            None,
            "EOF",
        ),
        row(
            "no message",
            set_raw(Bytes::new()),
            Code::Internal,
            None,
            "Missing",
        ),
        row(
            "compressed",
            set_raw(frame(1, 3, b"abc")),
            Code::Internal,
            None,
            "grpc-encoding",
        ),
        row(
            "unknown flag",
            set_raw(frame(9, 3, b"abc")),
            Code::Internal,
            None,
            "flag",
        ),
        row(
            "unknown encoding",
            raw(SET, &[("grpc-encoding", "zstd")], good.clone()),
            Code::Unimplemented,
            None,
            "zstd",
        ),
        row(
            "unknown method",
            raw("/kvd.v1.KvService/Sett", &[], good.clone()),
            Code::Unimplemented,
            None,
            "",
        ),
        row(
            "unknown service",
            raw("/kvd.v1.Nobody/Set", &[], good),
            Code::Unimplemented,
            None,
            "",
        ),
    ]
}
