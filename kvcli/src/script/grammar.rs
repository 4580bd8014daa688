//! From the fields of a line to a command.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _};

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::{
    args::{CallFlags, Line},
    command::{Command, del, get, incr, set},
};

/// Reads fields as a command. Building clap's tables costs more than using them,
/// so they are kept.
pub(crate) struct Grammar(clap::Command);

impl Grammar {
    pub(crate) fn new() -> Self {
        Self(Line::command())
    }

    pub(crate) fn read(&mut self, fields: Vec<OsString>) -> Result<Line, clap::Error> {
        let fields = match plain(fields) {
            Ok(command) => {
                return Ok(Line {
                    call: CallFlags::default(),
                    command,
                });
            }
            Err(fields) => fields,
        };
        self.0
            .try_get_matches_from_mut(fields)
            .and_then(|mut matches| Line::from_arg_matches_mut(&mut matches))
    }
}

/// The commands that scripts are made of, recognised without clap when no field
/// could be a flag. Clap costs more than everything else that happens to such a
/// line; a test holds both ways to the same requests. Gives the fields back if
/// the line is anything else.
fn plain(fields: Vec<OsString>) -> Result<Command, Vec<OsString>> {
    if fields
        .iter()
        .any(|field| field.as_bytes().starts_with(b"-"))
    {
        return Err(fields);
    }
    match (fields.first().map(|name| name.as_bytes()), fields.len()) {
        (Some(b"get"), 2) => {
            let [_, key] = take(fields)?;
            Ok(Command::Get(get::Args::plain(key)))
        }
        (Some(b"set"), 3) => {
            let [_, key, value] = take(fields)?;
            Ok(Command::Set(set::Args::plain(key, value)))
        }
        (Some(b"del"), 2) => {
            let [_, key] = take(fields)?;
            Ok(Command::Del(del::Args::plain(key)))
        }
        (Some(b"incr"), 2) => {
            let [_, key] = take(fields)?;
            Ok(Command::Incr(incr::Args::plain(key)))
        }
        _ => Err(fields),
    }
}

fn take<const N: usize>(fields: Vec<OsString>) -> Result<[OsString; N], Vec<OsString>> {
    fields.try_into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::{args::Durability, command::Place, script::parse::fields};

    #[test]
    fn the_short_way_is_the_same_way() {
        let table: [&[u8]; 10] = [
            b"get a",
            b"get ''",
            b"get \"\\xff\"",
            b"set a 1",
            b"set Aaron's ''",
            b"set \xff \xfe",
            b"del a",
            b"del 'a b'",
            b"incr a",
            b"incr \"\\x00\"",
        ];
        let flags = CallFlags {
            durability: Some(Durability::None),
            ..CallFlags::default()
        };
        for line in table {
            let fields: Vec<OsString> = fields(line)
                .expect("good")
                .into_iter()
                .map(|field| OsString::from_vec(field.bytes))
                .collect();
            let long = Line::try_parse_from(fields.clone()).expect("good").command;
            let short = plain(fields).expect("plain");
            let place = Place::Script { retry: false };
            let ask = |command: Command| command.prepare(&flags, place).expect("good").ask;
            assert_eq!(ask(short), ask(long), "{}", line.escape_ascii());
        }
    }
}
