//! The line `watch` of the prompt: the same options as on the command line, with the same
//! meaning.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Parser as _;

use crate::{
    args::{CallFlags, PromptLine, one_line},
    command::PromptCommand,
    failure::Failure,
    script::parse::fields,
    watch::Args,
};

/// Reads the line, which begins with `watch`.
pub(super) fn read(line: &str) -> Result<(CallFlags, Args), Failure> {
    let fields = fields(line.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
    let fields = fields
        .into_iter()
        .map(|field| OsString::from_vec(field.bytes));
    let read = PromptLine::try_parse_from(fields);
    let line = read.map_err(|error| Failure::Usage(one_line(&error)))?;
    match line.command {
        PromptCommand::Watch(args) => Ok((line.call, args)),
        PromptCommand::Command(_) => Err(Failure::usage("this is no watch")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_command_line_can_say() {
        let line = "watch --prefix \"a\\x00 b\" --from 7 --previous --exclude-type delete \
                    --on-compacted resync --limit 3 --exec 'echo \"$KVD_KEY\"' --read-level latest";
        let (call, args) = read(line).expect("good");
        assert!(call.read_level.is_some());
        let shown = format!("{args:?}");
        for part in [
            "a\\0 b", "Some(7)", "Delete", "Resync", "Some(3)", "$KVD_KEY",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for (line, part) in [
            ("watch a b", "unexpected argument 'b'"),
            ("watch a --prefix b", "cannot be used with"),
            ("watch --from 0", "0 is not in 1.."),
            ("watch --from 3 --current-state", "cannot be used with"),
            ("watch --exclude-cause boredom", "possible values: written"),
            ("watch 'a", "never closed"),
            ("watch --position !", "no base64"),
        ] {
            let text = read(line).expect_err(line).to_string();
            assert!(
                text.contains(part) && !text.contains('\n'),
                "{line}: {text}"
            );
        }
    }
}
