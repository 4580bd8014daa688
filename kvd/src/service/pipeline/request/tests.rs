//! That messages mean what prost reads in them.

use kvproto::v1::{self, operation::Operation as Op};
use prost::Message as _;

use super::*;

/// A message as it would be without the short way.
fn whole(message: &Message) -> v1::PipelineRequest {
    let bytes = |span: Span| Bytes::copy_from_slice(span.of(&message.bytes));
    let operation = |operation: &Operation| {
        let asked = match &operation.asked {
            Asked::Get { key, level } => Op::Get(v1::GetRequest {
                key: bytes(*key),
                options: Some(v1::ReadOptions {
                    level: *level,
                    ..v1::ReadOptions::default()
                }),
            }),
            Asked::Set {
                key,
                value,
                durability,
            } => Op::Set(v1::SetRequest {
                key: bytes(*key),
                value: bytes(*value),
                options: Some(v1::WriteOptions {
                    durability: *durability,
                    ..v1::WriteOptions::default()
                }),
                ..v1::SetRequest::default()
            }),
            Asked::Other(other) => return (**other).clone(),
        };
        v1::Operation {
            id: operation.id,
            operation: Some(asked),
        }
    };
    v1::PipelineRequest {
        operations: message.operations.iter().map(operation).collect(),
        require: message.require.clone(),
    }
}

/// Options that are absent ask for what empty ones ask for.
fn same(mut request: v1::PipelineRequest) -> v1::PipelineRequest {
    for operation in &mut request.operations {
        match &mut operation.operation {
            Some(Op::Get(get)) => get.options = Some(get.options.take().unwrap_or_default()),
            Some(Op::Set(set)) => set.options = Some(set.options.take().unwrap_or_default()),
            _ => {}
        }
    }
    request
}

/// Reads the bytes both ways; how many operations went the short one.
fn check(bytes: &[u8]) -> usize {
    let read = Message::read(Bytes::copy_from_slice(bytes));
    match (read, v1::PipelineRequest::decode(bytes)) {
        (Ok(read), Ok(expected)) => {
            assert_eq!(same(whole(&read)), same(expected), "{bytes:x?}");
            let plain = |operation: &&Operation| !matches!(operation.asked, Asked::Other(_));
            read.operations.iter().filter(plain).count()
        }
        (Err(read), Err(expected)) => {
            assert_eq!(read.to_string(), expected.to_string(), "{bytes:x?}");
            0
        }
        (read, expected) => panic!("{bytes:x?}: {read:?}, and prost {expected:?}"),
    }
}

fn get(id: u64, key: &'static str, level: Option<i32>) -> v1::Operation {
    let options = level.map(|level| v1::ReadOptions {
        level,
        ..v1::ReadOptions::default()
    });
    let key = key.into();
    v1::Operation {
        id,
        operation: Some(Op::Get(v1::GetRequest { key, options })),
    }
}

fn set(id: u64, value: Vec<u8>, durability: Option<i32>) -> v1::Operation {
    let options = durability.map(|durability| v1::WriteOptions {
        durability,
        ..v1::WriteOptions::default()
    });
    v1::Operation {
        id,
        operation: Some(Op::Set(v1::SetRequest {
            key: "key".into(),
            value: value.into(),
            options,
            ..v1::SetRequest::default()
        })),
    }
}

/// Everything that a client may say, the plain and the rare.
fn all_kinds() -> Vec<v1::Operation> {
    let named = v1::WriteOptions {
        request_id: "r".into(),
        ..v1::WriteOptions::default()
    };
    let rare = |change: &dyn Fn(&mut v1::SetRequest)| {
        let mut request = v1::SetRequest {
            key: "key".into(),
            ..v1::SetRequest::default()
        };
        change(&mut request);
        v1::Operation {
            id: 9,
            operation: Some(Op::Set(request)),
        }
    };
    vec![
        get(1, "a", None),
        get(u64::MAX, "", Some(0)),
        get(300, "b", Some(2)),
        get(0, "c", Some(-1)),
        set(2, vec![], None),
        set(3, vec![7; 200], Some(1)),
        set(4, vec![7; 20_000], Some(77_777)),
        rare(&|set| set.return_previous = true),
        rare(&|set| set.options = Some(named.clone())),
        rare(&|set| set.expiry = Some(v1::Expiry::default())),
        rare(&|set| set.condition = Some(v1::Condition::default())),
        v1::Operation::default(),
        v1::Operation {
            id: 5,
            operation: Some(Op::Delete(v1::DeleteRequest {
                key: "d".into(),
                ..v1::DeleteRequest::default()
            })),
        },
        v1::Operation {
            id: 6,
            operation: Some(Op::Txn(v1::TxnRequest::default())),
        },
    ]
}

fn encoded(operations: Vec<v1::Operation>, require: Vec<i32>) -> Vec<u8> {
    v1::PipelineRequest {
        operations,
        require,
    }
    .encode_to_vec()
}

#[test]
fn plain_operations_go_the_short_way_and_all_are_what_they_were() {
    assert_eq!(check(&encoded(all_kinds(), vec![])), 6);
    // What the whole message asks for takes it off the short way.
    assert_eq!(check(&encoded(all_kinds(), vec![3, 4])), 0);
    assert_eq!(check(&[]), 0);
}

/// A field with so much in it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    field.extend(content);
    field
}

#[test]
fn what_is_said_twice_or_strangely_is_what_prost_makes_of_it() {
    let level = |level: u8| field(9, &[1 << 3, level]);
    let key = |key: &str| field(1, key.as_bytes());
    let get = |parts: &[Vec<u8>]| field(2, &parts.concat());
    let id = vec![1 << 3, 5];
    let strange: Vec<(usize, Vec<Vec<u8>>)> = vec![
        (1, vec![id.clone(), get(&[key("a"), level(1)])]),
        // In another order, and the key once more.
        (1, vec![get(&[level(1), key("a"), key("b")]), id.clone()]),
        // Twice what is merged, or counts once.
        (0, vec![get(&[key("a"), level(1), field(9, &[])])]),
        (0, vec![get(&[key("a")]), get(&[level(2)])]),
        (0, vec![get(&[key("a")]), field(3, &key("b"))]),
        (0, vec![id.clone(), id, get(&[key("a")])]),
        (0, vec![get(&[field(9, &[1 << 3, 1, 1 << 3, 2])])]),
        // A field that nobody knows, in each place.
        (0, vec![get(&[key("a")]), field(14, b"x")]),
        (0, vec![get(&[key("a"), field(14, b"x")])]),
        (0, vec![get(&[field(9, &field(14, b"x"))])]),
        // Encoded as it should not be: a number as text, a text as number.
        (0, vec![get(&[vec![1 << 3, 7]])]),
        (0, vec![field(1, b"x")]),
        // A number longer than it has to be.
        (1, vec![vec![1 << 3, 0x85, 0x80, 0], get(&[key("a")])]),
        (0, vec![get(&[key("a")]), vec![2 << 3 | 7]]),
    ];
    for (plain, parts) in strange {
        let message = field(1, &parts.concat());
        assert_eq!(check(&message), plain, "{parts:x?}");
    }
}

#[test]
fn bytes_that_are_damaged_are_refused_as_prost_refuses_them() {
    let bytes = encoded(all_kinds(), vec![]);
    let short = encoded(all_kinds().into_iter().take(6).collect(), vec![]);
    for end in 0..short.len() {
        check(&short[..end]);
    }
    let mut rng = 7_u64;
    for round in 0..20_000 {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = usize::try_from(rng >> 33).unwrap();
        let from = if round % 8 == 0 { &bytes } else { &short };
        let mut bytes = from.clone();
        let at = random % bytes.len();
        bytes[at] = bytes[at].wrapping_add(u8::try_from(random >> 8 & 0xff).unwrap());
        if round % 3 == 0 {
            bytes.remove(random / 3 % bytes.len());
        }
        check(&bytes);
    }
}
