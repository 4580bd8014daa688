//! Which kvd is measured.

use std::path::PathBuf;
use std::process::Command;

use crate::Result;

/// Finds kvd beside this program, after cargo has brought it up to date: a figure of
/// a stale binary is worse than none. `given` is taken as it is.
pub(crate) fn kvd_binary(given: Option<PathBuf>, profile: &str) -> Result<PathBuf> {
    if let Some(path) = given {
        if path.is_file() {
            return Ok(path);
        }
        return Err(format!("--kvd {}: there is no such file", path.display()).into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .args(["build", "--package", "kvd", "--bin", "kvd", "--profile"])
        .arg(cargo_profile(profile))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| {
            format!(
                "cannot run {}: {e}; build kvd and give --kvd PATH",
                cargo.display()
            )
        })?;
    if !status.success() {
        return Err(format!("cargo could not build kvd: {status}").into());
    }
    let path = std::env::current_exe()?.with_file_name("kvd");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is not there: give --kvd PATH", path.display()).into())
}

/// What cargo calls the profile whose programs are in a directory of this name.
pub(crate) fn cargo_profile(directory: &str) -> &str {
    if directory == "debug" {
        "dev"
    } else {
        directory
    }
}
