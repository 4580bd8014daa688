//! Where the figures of a report come from: the command, the source, the machine.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::Result;
use crate::child::cargo_profile;
use crate::cpu::load_average;

/// What every report says about itself.
#[derive(Debug)]
pub(crate) struct Origin {
    command: String,
    commit: String,
    /// The directory that this program was built into; named after the profile.
    dir: PathBuf,
    pub(crate) cores: usize,
    /// Of the minute before this run.
    pub(crate) load_average: f64,
}

impl Origin {
    pub(crate) fn new() -> Result<Self> {
        let exe = std::env::current_exe()?;
        let dir = exe.parent().ok_or("this program has no directory")?;
        let mut origin = Self {
            command: String::new(),
            commit: commit(),
            dir: dir.to_owned(),
            cores: thread::available_parallelism()?.get(),
            load_average: load_average(),
        };
        origin.command = command(&origin.profile(), std::env::args().skip(1));
        Ok(origin)
    }

    /// The command, as it can be typed again.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    /// The profile's directory: `debug` for dev.
    pub(crate) fn profile(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Where servers keep their data unless told otherwise: on the disk of the build.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.dir.with_file_name("kvbench")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- command: `{}`", self.command)?;
        writeln!(
            f,
            "- commit {}, profile {}, {} cores",
            self.commit,
            self.profile(),
            self.cores
        )
    }
}

/// Options whose value is a path of this machine, and that change no figure.
const PATHS: [&str; 4] = ["--kvd", "--data-root", "--out", "--results"];

/// The command, as it can be typed again elsewhere.
fn command(profile: &str, args: impl Iterator<Item = String>) -> String {
    let mut text = format!(
        "cargo run --profile {} -p kvbench --",
        cargo_profile(profile)
    );
    let mut is_value = false;
    for arg in args {
        let name = arg.split('=').next().unwrap_or_default();
        if is_value {
            is_value = false;
        } else if PATHS.contains(&name) {
            is_value = !arg.contains('=');
        } else {
            text.push(' ');
            text.push_str(&arg);
        }
    }
    text
}

/// The commit that the source is at, and whether it was changed since.
fn commit() -> String {
    let describe = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match describe {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_holds_no_path_of_this_machine() {
        let args = "restart --kvd /a/kvd --keys 5 --results=/b.json --data-root /c --check";
        let args = args.split(' ').map(str::to_owned);
        assert_eq!(
            command("debug", args),
            "cargo run --profile dev -p kvbench -- restart --keys 5 --check"
        );
    }
}
