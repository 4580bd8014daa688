//! What a package carries beside the program: completions for shells and manual
//! pages, made from the definitions that read the command line.

use std::{fs, path::PathBuf};

use clap_complete::Shell;

use crate::{
    examples,
    failure::{Exit, Failure},
    output::Output,
};

/// Print completions for a shell
///
/// As in: kvcli completions bash > /usr/share/bash-completion/completions/kvcli
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    shell: Shell,
}

/// Print the manual page, or write all of them
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write kvcli.1 and a page for each command into this directory
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionArgs, output: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut examples::attached(), "kvcli", &mut script);
    output.bytes(&script);
    output.flush()?;
    Ok(Exit::Success)
}

pub(crate) fn man(args: &ManArgs, output: &mut Output) -> Result<Exit, Failure> {
    let command = examples::attached().disable_help_subcommand(true);
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        output.bytes(&page);
        output.flush()?;
        return Ok(Exit::Success);
    };
    let made = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    made.map_err(|error| Failure::usage(format!("cannot write into {}: {error}", dir.display())))?;
    Ok(Exit::Success)
}
