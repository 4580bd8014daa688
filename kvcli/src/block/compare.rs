//! An `if` line: what is compared with what.

use std::ffi::OsString;

use clap::Parser;
use kvproto::v1::{self, CompareOperator, compare::Target, key_range::Range};

use super::BlockError;
use crate::{command::RangeArgs, script::parse::Field};

const TARGETS: &str = "value, version, mod, create, lease, exists or absent";

/// The flags that stand in place of a key.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct Subject {
    #[arg(long, allow_hyphen_values = true)]
    prefix: Option<OsString>,
    #[arg(long, conflicts_with = "prefix")]
    all: bool,
    #[command(flatten)]
    range: RangeArgs,
}

/// Reads a line whose first field is `if`.
pub(super) fn compare(line: u64, fields: &[Field]) -> Result<v1::Compare, BlockError> {
    let (range, rest) = subject(line, fields)?;
    let missing = |what: &str| {
        let column = fields
            .last()
            .map_or(1, |field| field.column + field.bytes.len());
        BlockError::new(line, column, format!("if: {what}"))
    };
    let Some((target, rest)) = rest.split_first() else {
        return Err(missing(&format!("say what is compared: {TARGETS}")));
    };
    let exists = match &*target.bytes {
        b"exists" => Some(true),
        b"absent" => Some(false),
        _ => None,
    };
    if let Some(exists) = exists {
        if let Some(more) = rest.first() {
            return Err(BlockError::at(
                line,
                more,
                "if: nothing follows exists and absent",
            ));
        }
        return Ok(v1::Compare {
            range: Some(range),
            operator: CompareOperator::Equal.into(),
            target: Some(Target::Exists(exists)),
        });
    }
    let number: fn(i64) -> Target = match &*target.bytes {
        b"value" => |_| Target::Value(bytes::Bytes::new()),
        b"version" => Target::Version,
        b"mod" => Target::ModRevision,
        b"create" => Target::CreateRevision,
        b"lease" => Target::LeaseId,
        other => {
            let text = format!("if: {} cannot be compared; write {TARGETS}", shown(other));
            return Err(BlockError::at(line, target, text));
        }
    };
    let [operator, operand, more @ ..] = rest else {
        return Err(missing(
            "an operator (= != > <) and what to compare with are missing",
        ));
    };
    if let Some(more) = more.first() {
        let text = "if: nothing follows what is compared with; quote it if it has blanks";
        return Err(BlockError::at(line, more, text));
    }
    let target = if target.bytes == b"value" {
        Target::Value(operand.bytes.clone().into())
    } else {
        number(integer(line, operand)?)
    };
    Ok(v1::Compare {
        range: Some(range),
        operator: operator_of(line, operator)?.into(),
        target: Some(target),
    })
}

/// The key or the range that the line is about, and the fields after it.
fn subject(line: u64, fields: &[Field]) -> Result<(v1::KeyRange, &[Field]), BlockError> {
    let nothing = || {
        let column = fields
            .last()
            .map_or(1, |field| field.column + field.bytes.len());
        BlockError::new(line, column, "if: the key is missing")
    };
    let rest = fields.get(1..).unwrap_or_default();
    let first = rest.first().ok_or_else(nothing)?;
    if !first.bytes.starts_with(b"--") {
        return Ok((one_key(first), &rest[1..]));
    }
    if first.bytes == b"--" {
        let key = rest.get(1).ok_or_else(nothing)?;
        return Ok((one_key(key), &rest[2..]));
    }
    let mut flags = 0;
    while let Some(field) = rest.get(flags) {
        flags += match &*field.bytes {
            b"--all" => 1,
            bytes if bytes.starts_with(b"--") && bytes.contains(&b'=') => 1,
            bytes if bytes.starts_with(b"--") => 2,
            _ => break,
        };
    }
    let (flags, rest) = rest.split_at(flags.min(rest.len()));
    let argument = |field: &Field| {
        use std::os::unix::ffi::OsStringExt as _;
        OsString::from_vec(field.bytes.clone())
    };
    let subject = Subject::try_parse_from(flags.iter().map(argument))
        .map_err(|error| BlockError::clap(line, fields, &error))?;
    if subject.all {
        if flags.len() > 1 {
            return Err(BlockError::at(
                line,
                &flags[1],
                "if: --all is all there is to say",
            ));
        }
        return Ok((crate::command::all_keys(), rest));
    }
    match subject.range.into_range(subject.prefix) {
        Ok(Some(range)) => Ok((range, rest)),
        Ok(None) => Err(nothing()),
        Err(failure) => Err(BlockError::at(line, first, failure.to_string())),
    }
}

fn one_key(field: &Field) -> v1::KeyRange {
    v1::KeyRange {
        range: Some(Range::Key(field.bytes.clone().into())),
    }
}

fn operator_of(line: u64, field: &Field) -> Result<CompareOperator, BlockError> {
    Ok(match &*field.bytes {
        b"=" => CompareOperator::Equal,
        b"!=" => CompareOperator::NotEqual,
        b">" => CompareOperator::Greater,
        b"<" => CompareOperator::Less,
        other => {
            let text = format!("if: {} is no operator; write =, !=, > or <", shown(other));
            return Err(BlockError::at(line, field, text));
        }
    })
}

fn integer(line: u64, field: &Field) -> Result<i64, BlockError> {
    let number = std::str::from_utf8(&field.bytes)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = format!("if: {} is no whole number", shown(&field.bytes));
        BlockError::at(line, field, text)
    })
}

fn shown(bytes: &[u8]) -> String {
    crate::text::show(bytes)
}
