use kvproto::v1::{
    Compare, CompareOperator, compare::Target, key_range::Range, txn_operation::Operation,
};

use super::*;
use crate::script::Grammar;

fn lines(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
    (1..)
        .zip(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec))
        .collect()
}

fn read(text: &[u8]) -> Result<Block, BlockError> {
    parse(&lines(text), None, &mut Grammar::new())
}

fn good(text: &[u8]) -> Block {
    read(text).unwrap_or_else(|error| panic!("{}: {error}", text.escape_ascii()))
}

fn compare_of(line: &[u8]) -> Compare {
    let text = [line, b"\nthen\nend"].concat();
    let mut compares = good(&text).request.compares;
    assert_eq!(compares.len(), 1, "{}", line.escape_ascii());
    compares.remove(0)
}

fn kinds(operations: &[kvproto::v1::TxnOperation]) -> Vec<&'static str> {
    let kind = |operation: &kvproto::v1::TxnOperation| match operation.operation {
        Some(Operation::Get(_)) => "get",
        Some(Operation::Set(_)) => "set",
        Some(Operation::Delete(_)) => "delete",
        Some(Operation::Increment(_)) => "increment",
        Some(Operation::Expire(_)) => "expire",
        Some(Operation::RangeGet(_)) => "range_get",
        Some(Operation::RangeDelete(_)) => "range_delete",
        Some(Operation::Txn(_)) => "txn",
        None => "nothing",
    };
    operations.iter().map(kind).collect()
}

#[test]
fn every_target_and_operator_can_be_written() {
    let table: [(&[u8], CompareOperator, Target); 10] = [
        (
            b"if k value = v",
            CompareOperator::Equal,
            Target::Value("v".into()),
        ),
        (
            b"if k value != ''",
            CompareOperator::NotEqual,
            Target::Value("".into()),
        ),
        (
            b"if k value > \"\\x00\\xff\"",
            CompareOperator::Greater,
            Target::Value((&b"\0\xff"[..]).into()),
        ),
        (
            b"if k value < --help",
            CompareOperator::Less,
            Target::Value("--help".into()),
        ),
        (
            b"if k version > 0",
            CompareOperator::Greater,
            Target::Version(0),
        ),
        (
            b"if k mod < 7",
            CompareOperator::Less,
            Target::ModRevision(7),
        ),
        (
            b"if k create != 9",
            CompareOperator::NotEqual,
            Target::CreateRevision(9),
        ),
        (
            b"if k lease = -1",
            CompareOperator::Equal,
            Target::LeaseId(-1),
        ),
        (b"if k exists", CompareOperator::Equal, Target::Exists(true)),
        (
            b"if k absent",
            CompareOperator::Equal,
            Target::Exists(false),
        ),
    ];
    for (line, operator, target) in table {
        let compare = compare_of(line);
        assert_eq!(compare.operator(), operator, "{}", line.escape_ascii());
        assert_eq!(compare.target, Some(target), "{}", line.escape_ascii());
        let range = compare.range.and_then(|range| range.range);
        assert_eq!(range, Some(Range::Key("k".into())));
    }
}

#[test]
fn every_range_can_be_written() {
    let span = |start: &'static str, end: &'static str| {
        Range::Span(kvproto::v1::Span {
            start: start.into(),
            end: end.into(),
        })
    };
    let table: [(&[u8], Range); 10] = [
        (b"if --prefix p/ version > 0", Range::Prefix("p/".into())),
        (b"if --prefix=p/ version > 0", Range::Prefix("p/".into())),
        (b"if --prefix --p version > 0", Range::Prefix("--p".into())),
        (b"if --start a --end b exists", span("a", "b")),
        (b"if --end b exists", span("", "b")),
        (b"if --start a exists", span("a", "")),
        (b"if --key --k exists", Range::Key("--k".into())),
        (b"if --all absent", Range::All(kvproto::v1::AllKeys {})),
        (b"if -- --prefix exists", Range::Key("--prefix".into())),
        (b"if -k exists", Range::Key("-k".into())),
    ];
    for (line, range) in table {
        let compared = compare_of(line).range.and_then(|range| range.range);
        assert_eq!(compared, Some(range), "{}", line.escape_ascii());
    }
}

#[test]
fn commands_become_steps_in_their_order() {
    let block = good(
        b"# a comment\n\ntxn\nif k exists\nthen\nget k\nmget a b\nttl k\nset k v --ttl 5s\n\
          del a b\nincr n --by -2\nexpire k --persist\nscan p --limit 3 --reverse --keys-only\n\
          rm --prefix p\ntxn\nthen\nget x\nend\nelse\nset 'k 2' \"\\xff\"\nend\n  \n# the end",
    );
    assert_eq!(
        kinds(&block.request.success),
        [
            "get",
            "get",
            "get",
            "get",
            "set",
            "delete",
            "delete",
            "increment",
            "expire",
            "range_get",
            "range_delete",
            "txn"
        ]
    );
    assert_eq!(kinds(&block.request.failure), ["set"]);
    assert_eq!(block.success.len(), 12);
    assert_eq!(block.failure.len(), 1);
    let Some(Operation::RangeGet(range_get)) = &block.request.success[9].operation else {
        panic!("not a range get")
    };
    assert_eq!(range_get.limit, 3);
    assert!(range_get.reverse && range_get.keys_only);
    let Some(Operation::Set(set)) = &block.request.failure[0].operation else {
        panic!("not a set")
    };
    assert_eq!((&*set.key, &*set.value), (&b"k 2"[..], &b"\xff"[..]));
    assert_eq!(set.options, None);
}

#[test]
fn the_frame_may_be_left_out_when_alone() {
    for text in [
        &b"txn\nthen\nget a\nend"[..],
        b"then\nget a\nend",
        b"then\nget a",
        b"then\nget a\nelse\n",
    ] {
        assert_eq!(kinds(&good(text).request.success), ["get"]);
    }
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let table: [(&[u8], u64, usize, &str); 40] = [
        (b"", 1, 1, "no transaction"),
        (b"# nothing\n", 2, 1, "no transaction"),
        (b"txn\nif k exists", 1, 1, "never closed"),
        (b"if k exists\n", 2, 1, "without then"),
        (b"then\ntxn\nthen\nget a", 2, 1, "never closed"),
        (b"get a", 1, 1, "expected if or then"),
        (b"else", 1, 1, "expected if or then"),
        (b"end", 1, 1, "expected if or then"),
        (b"txn x\nthen", 1, 5, "stands alone"),
        (b"then get a", 1, 6, "stands alone"),
        (b"then\nelse  if", 2, 7, "stands alone"),
        (b"then\nend end", 2, 5, "stands alone"),
        (b"then\ntxn x", 2, 5, "stands alone"),
        (b"then\n  if k exists", 2, 3, "before then"),
        (b"then\nthen", 2, 1, "second then"),
        (b"then\nelse\n else", 3, 2, "second else"),
        (b"then\nend\nget a", 3, 1, "nothing follows the end"),
        (b"if", 1, 3, "key is missing"),
        (b"if --", 1, 6, "key is missing"),
        (b"if k", 1, 5, "say what is compared"),
        (b"if k valu = 1", 1, 6, "valu cannot be compared"),
        (b"if k value", 1, 11, "an operator"),
        (b"if k value =", 1, 13, "an operator"),
        (b"if k value == 1", 1, 12, "== is no operator"),
        (b"if k value = a b", 1, 16, "nothing follows"),
        (b"if k version = x", 1, 16, "x is no whole number"),
        (
            b"if k version = 9223372036854775808",
            1,
            16,
            "no whole number",
        ),
        (b"if k exists = 1", 1, 13, "nothing follows exists"),
        (b"if --prefix p --start a exists", 1, 4, "cannot be used"),
        (b"if --frob p exists", 1, 4, "--frob"),
        (b"if --start '' exists", 1, 4, "needs a key"),
        (b"then\nset k 'v", 2, 7, "never closed"),
        (b"then\nset k \"\\q\"", 2, 8, "no escape"),
        (b"then\nfrob a", 2, 1, "unrecognized subcommand"),
        (b"then\nget a b", 2, 7, "unexpected argument 'b'"),
        (b"then\nincr n --by x", 2, 13, "invalid value 'x'"),
        (b"then\nset k v --if-absent", 2, 9, "before then"),
        (b"then\nset k v --durability none", 2, 9, "first line"),
        (b"then\nscan --page-size 5", 2, 6, "one piece"),
        (b"then\nstatus", 2, 1, "cannot be part"),
    ];
    for (text, line, column, part) in table {
        let error = read(text).expect_err("a mistake");
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{}: {error}",
            text.escape_ascii()
        );
        assert!(
            error.message.contains(part),
            "{}: {error}",
            text.escape_ascii()
        );
    }
    let error = read(b"then\nrm --prefix p --dry-run").expect_err("a mistake");
    assert_eq!(
        error.to_string().split(": ").next(),
        Some("line 2, column 15")
    );
}

#[test]
fn depth_has_an_end() {
    let nested = |depth: usize| {
        let text = [b"txn\nthen\n".repeat(depth), b"end\n".repeat(depth)].concat();
        read(&text)
    };
    assert!(nested(32).is_ok());
    let error = nested(33).expect_err("too deep");
    assert_eq!((error.line, error.column), (65, 1));
}
