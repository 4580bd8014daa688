//! json: one indented object per command. Of a result in parts, the records are
//! written as they come, so that none has to be kept; an object that was not
//! finished is no JSON, and shows that records are missing.

use std::io;

use serde_json::{Map, Value};

use super::{Printer, Report, paint::Paint};

pub(super) struct Json {
    paint: Paint,
    /// Inside the list of a result in parts, and whether it has a record.
    open: Option<bool>,
}

impl Json {
    pub(super) fn new(paint: Paint) -> Self {
        Self { paint, open: None }
    }
}

impl Printer for Json {
    fn print(&mut self, report: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend(
            self.paint
                .json(serde_json::to_vec_pretty(&report.object())?),
        );
        out.push(b'\n');
        Ok(())
    }

    fn part(&mut self, part: &dyn Report, out: &mut Vec<u8>) -> io::Result<()> {
        let mut filled = self.open.unwrap_or_else(|| {
            out.extend_from_slice(b"{\n  \"records\": [");
            false
        });
        for object in part.objects() {
            out.extend_from_slice(if filled { b",\n" } else { b"\n" });
            filled = true;
            let object = self.paint.json(serde_json::to_vec_pretty(&object)?);
            indented(&object, b"    ", out);
        }
        self.open = Some(filled);
        Ok(())
    }

    fn end_parts(&mut self, closing: Map<String, Value>, out: &mut Vec<u8>) -> io::Result<()> {
        if self.open.take() == Some(true) {
            out.extend_from_slice(b"\n  ");
        }
        out.push(b']');
        // The closing object without its own opening.
        let closing = self.paint.json(serde_json::to_vec_pretty(&closing)?);
        let rest = closing.strip_prefix(b"{").unwrap_or(&closing);
        if rest != b"}" {
            out.push(b',');
        }
        out.extend_from_slice(rest);
        out.push(b'\n');
        Ok(())
    }

    fn break_off(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.push(b'\n');
        }
    }
}

/// Every line of a text, moved to the right.
fn indented(text: &[u8], margin: &[u8], out: &mut Vec<u8>) {
    for (i, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if i > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(margin);
        out.extend_from_slice(line);
    }
}
