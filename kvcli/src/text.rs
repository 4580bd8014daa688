//! How bytes are shown in text.
//!
//! table and csv print plain text as it is; anything else as `"…"` with `\xNN`
//! for each byte that is not printable, `\"` and `\\`, so that what is printed
//! can be pasted back into a script. JSON gets a string for UTF-8 and base64,
//! under another name, for the rest.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

/// The bytes for table and csv.
pub(crate) fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain(text) => text.to_owned(),
        _ => quote(bytes),
    }
}

/// The bytes between quotes, as a script reads them.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if is_printable(c) => out.push(c),
                c => escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out.push('"');
    out
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Text that shows all there is to it. A leading quote would read as quoting,
/// and blanks at the ends cannot be seen.
fn is_plain(text: &str) -> bool {
    !text.starts_with(['"', '\''])
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
        && text.chars().all(is_printable)
}

/// Not a control character, and none of those that take no room or turn the
/// direction of what follows.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Puts bytes into an object: `name` for UTF-8, `name_base64` for the rest.
pub(crate) fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), BASE64.encode(bytes).into()),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::parse::fields;

    #[test]
    fn plain_text_is_left_alone() {
        for text in [
            "",
            "a",
            "hello world",
            "Aaron's",
            "C:\\dir",
            "naïve 漢字 🦀",
            "a\"b",
        ] {
            assert_eq!(show(text.as_bytes()), text);
        }
    }

    #[test]
    fn the_rest_is_quoted() {
        let table: [(&[u8], &str); 9] = [
            (b"\xff", r#""\xff""#),
            (b"a\nb", r#""a\x0ab""#),
            (b"\"q\"", r#""\"q\"""#),
            (b"'q'", r#""'q'""#),
            (b" x", r#"" x""#),
            (b"x ", r#""x ""#),
            (b"a\\\0", r#""a\\\x00""#),
            ("é\u{202e}".as_bytes(), r#""é\xe2\x80\xae""#),
            (b"ab\xe2\x82", r#""ab\xe2\x82""#),
        ];
        for (bytes, shown) in table {
            assert_eq!(show(bytes), shown);
        }
    }

    #[test]
    fn quoted_text_pastes_back() {
        let mut seed = 7_u32;
        for round in 0..500 {
            let bytes: Vec<u8> = (0..round % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    seed.to_le_bytes()[3]
                })
                .collect();
            let line = quote(&bytes);
            let parsed = fields(line.as_bytes()).expect("our own quoting");
            let parsed: Vec<Vec<u8>> = parsed.into_iter().map(|field| field.bytes).collect();
            assert_eq!(parsed, [bytes]);
        }
    }

    #[test]
    fn json_names_tell_text_from_bytes() {
        let mut object = Map::new();
        insert_bytes(&mut object, "key", "é\0".as_bytes());
        insert_bytes(&mut object, "value", b"\xff\x00");
        assert_eq!(
            Value::Object(object),
            json!({"key": "é\0", "value_base64": "/wA="})
        );
    }
}
