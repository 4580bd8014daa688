//! What a package carries beside the program: completions for shells and manual pages,
//! made from the definitions that read the command line.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, Failure};

pub(super) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kvd", &mut script);
    print(&script)
}

pub(super) fn man(dir: Option<&Path>) -> Result<ExitCode, Failure> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(dir) = dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::new(Exit::Software, error.to_string()))?;
        return print(&page);
    };
    let made = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    made.map_err(|error| {
        let message = format!("cannot write into {}: {error}", dir.display());
        Failure::new(Exit::Io, message)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| Failure::new(Exit::Io, format!("cannot write to standard output: {e}")))?;
    Ok(ExitCode::SUCCESS)
}
