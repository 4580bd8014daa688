//! The grammar of a script line.
//!
//! Fields are separated by blanks and tabs. A quote is special only as the first
//! character of a field:
//!
//! ```text
//! 'literal'       everything up to the next ' as it is
//! "escaped"       with \\ \" \n \r \t \xNN, everything else as it is
//! any'thing\else  neither quotes nor backslashes mean anything
//! ```
//!
//! A closing quote ends the field: a blank or the end of the line follows.
//! Bytes, not characters: a field may hold anything but, unquoted, a blank.

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("quote opened in column {column} is never closed")]
    Unclosed { column: usize },
    #[error("text right after the closing quote in column {column}; put a blank between")]
    AfterQuote { column: usize },
    #[error("{escape} in column {column} is no escape; use \\\\ \\\" \\n \\r \\t or \\xNN")]
    Escape { column: usize, escape: String },
}

impl SyntaxError {
    pub(crate) fn column(&self) -> usize {
        match self {
            Self::Unclosed { column }
            | Self::AfterQuote { column }
            | Self::Escape { column, .. } => *column,
        }
    }
}

/// Whether a line holds no command: blank, or a comment, whose `#` must be the
/// very first character.
pub(crate) fn is_idle(line: &[u8]) -> bool {
    line.first() == Some(&b'#') || line.iter().all(|b| is_blank(*b))
}

/// A field and the column it begins in, counted in bytes from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) column: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Splits a line, given without its line end, into fields.
pub(crate) fn fields(line: &[u8]) -> Result<Vec<Field>, SyntaxError> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|b| is_blank(**b)).count();
        let Some(first) = line.get(at) else {
            return Ok(fields);
        };
        let (bytes, end) = match first {
            b'\'' => literal(line, at)?,
            b'"' => escaped(line, at)?,
            _ => bare(line, at),
        };
        let column = at + 1;
        fields.push(Field { column, bytes });
        at = end;
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A field without quotes. Returns it and where it ends.
fn bare(line: &[u8], start: usize) -> (Vec<u8>, usize) {
    let len = line[start..].iter().take_while(|b| !is_blank(**b)).count();
    (line[start..start + len].to_vec(), start + len)
}

/// A field in single quotes, `start` at the opening one.
fn literal(line: &[u8], start: usize) -> Result<(Vec<u8>, usize), SyntaxError> {
    let body = &line[start + 1..];
    let len = body.iter().position(|b| *b == b'\'');
    let len = len.ok_or(SyntaxError::Unclosed { column: start + 1 })?;
    Ok((body[..len].to_vec(), after_quote(line, start + 1 + len)?))
}

/// A field in double quotes, `start` at the opening one.
fn escaped(line: &[u8], start: usize) -> Result<(Vec<u8>, usize), SyntaxError> {
    let mut field = Vec::new();
    let mut at = start + 1;
    loop {
        match line.get(at) {
            None => return Err(SyntaxError::Unclosed { column: start + 1 }),
            Some(b'"') => return Ok((field, after_quote(line, at)?)),
            Some(b'\\') => {
                let (byte, len) = escape(&line[at..]).ok_or_else(|| bad_escape(line, at))?;
                field.push(byte);
                at += len;
            }
            Some(byte) => {
                field.push(*byte);
                at += 1;
            }
        }
    }
}

/// The byte that an escape stands for, and the escape's length.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    match text.get(1)? {
        b'\\' => Some((b'\\', 2)),
        b'"' => Some((b'"', 2)),
        b'n' => Some((b'\n', 2)),
        b'r' => Some((b'\r', 2)),
        b't' => Some((b'\t', 2)),
        b'x' => {
            let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
            let byte = digit(2)? * 16 + digit(3)?;
            Some((u8::try_from(byte).ok()?, 4))
        }
        _ => None,
    }
}

fn bad_escape(line: &[u8], at: usize) -> SyntaxError {
    let len = if line.get(at + 1) == Some(&b'x') {
        4
    } else {
        2
    };
    let escape = &line[at..line.len().min(at + len)];
    SyntaxError::Escape {
        column: at + 1,
        escape: String::from_utf8_lossy(escape).into_owned(),
    }
}

/// Where a field ends whose closing quote is at `quote`.
fn after_quote(line: &[u8], quote: usize) -> Result<usize, SyntaxError> {
    match line.get(quote + 1) {
        Some(byte) if !is_blank(*byte) => Err(SyntaxError::AfterQuote { column: quote + 1 }),
        _ => Ok(quote + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_as_specified() {
        let table: [(&[u8], &[&[u8]]); 24] = [
            (b"", &[]),
            (b" \t ", &[]),
            (b"get a", &[b"get", b"a"]),
            (b"\t get \t a  ", &[b"get", b"a"]),
            (b"set Aaron's 12", &[b"set", b"Aaron's", b"12"]),
            (b"set a\"b c\\n", &[b"set", b"a\"b", b"c\\n"]),
            (b"set 'a b' 'c\"d'", &[b"set", b"a b", b"c\"d"]),
            (b"set 'a\\n' x", &[b"set", b"a\\n", b"x"]),
            (b"set '' \"\"", &[b"set", b"", b""]),
            (br#"set k "a b""#, &[b"set", b"k", b"a b"]),
            (
                br#"set k "\\ \" \n \r \t""#,
                &[b"set", b"k", b"\\ \" \n \r \t"],
            ),
            (
                br#"set k "\x00\xff\xFf\x7E""#,
                &[b"set", b"k", b"\x00\xff\xff\x7e"],
            ),
            (br#"set k "it's""#, &[b"set", b"k", b"it's"]),
            (b"set k \xff\xfe\x00", &[b"set", b"k", b"\xff\xfe\x00"]),
            (b"set k \"\xff\"", &[b"set", b"k", b"\xff"]),
            (
                "set naïve 漢".as_bytes(),
                &[b"set", "naïve".as_bytes(), "漢".as_bytes()],
            ),
            (b"set k -5", &[b"set", b"k", b"-5"]),
            (b"get #a", &[b"get", b"#a"]),
            (b" # x", &[b"#", b"x"]),
            (b"get \\", &[b"get", b"\\"]),
            (b"get a'", &[b"get", b"a'"]),
            (b"get a'b c'd", &[b"get", b"a'b", b"c'd"]),
            (b"'get' 'a'\t'b'", &[b"get", b"a", b"b"]),
            (b"get a\rb", &[b"get", b"a\rb"]),
        ];
        for (line, expected) in table {
            let parsed = fields(line);
            let parsed = parsed.unwrap_or_else(|e| panic!("{}: {e}", line.escape_ascii()));
            let parsed: Vec<Vec<u8>> = parsed.into_iter().map(|field| field.bytes).collect();
            assert_eq!(parsed, expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn fields_know_their_columns() {
        let parsed = fields(b" set\t'a b'  \"\\x00\" c").expect("good");
        let columns: Vec<usize> = parsed.iter().map(|field| field.column).collect();
        assert_eq!(columns, [2, 6, 13, 20]);
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        let escape = |column, escape: &str| SyntaxError::Escape {
            column,
            escape: escape.into(),
        };
        let table: [(&[u8], SyntaxError); 13] = [
            (b"get 'a", SyntaxError::Unclosed { column: 5 }),
            (b"get \"a", SyntaxError::Unclosed { column: 5 }),
            (b"get '", SyntaxError::Unclosed { column: 5 }),
            (b"get \"", SyntaxError::Unclosed { column: 5 }),
            (br#"get "a\""#, SyntaxError::Unclosed { column: 5 }),
            (b"get 'a'b", SyntaxError::AfterQuote { column: 7 }),
            (br#"get "a"b"#, SyntaxError::AfterQuote { column: 7 }),
            (b"get ''''", SyntaxError::AfterQuote { column: 6 }),
            (br#"get "\q""#, escape(6, "\\q")),
            (br#"get "\x1g""#, escape(6, "\\x1g")),
            (br#"get "\x""#, escape(6, "\\x\"")),
            (br#"get "\x+1""#, escape(6, "\\x+1")),
            (b"get \"\\", escape(6, "\\")),
        ];
        for (line, expected) in table {
            assert_eq!(fields(line), Err(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn comments_begin_in_the_first_column() {
        for line in [&b""[..], b"  ", b"\t", b"#", b"# set a b", b"#set"] {
            assert!(is_idle(line), "{}", line.escape_ascii());
        }
        for line in [&b" #"[..], b"get", b"  get #", b"'#'"] {
            assert!(!is_idle(line), "{}", line.escape_ascii());
        }
    }
}
