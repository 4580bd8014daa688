use bytes::Buf as _;

use super::*;

#[test]
fn messages_are_framed_and_an_arena_serves_many() {
    let mut arena = BytesMut::new();
    for length in [0, 1, 100, 100_000, 3] {
        let request = v1::GetRequest {
            key: vec![7; length].into(),
            options: None,
        };
        let framed = frame(&request, &mut arena);
        let mut head = framed.slice(..PREFIX);
        assert_eq!(
            (head.get_u8(), head.get_u32() as usize),
            (0, framed.len() - PREFIX)
        );
        assert_eq!(
            v1::GetRequest::decode(framed.slice(PREFIX..)).unwrap(),
            request
        );
    }
}
