//! Power that goes, instead of a process that is killed: what the file system had not made
//! durable is lost.
//!
//! A program of the caller's makes the disk under a store and takes it away:
//!
//! | it is called with | and |
//! | --- | --- |
//! | `make DIR` | puts an empty disk there |
//! | `cut DIR` | keeps everything from the device from now on |
//! | `again DIR` | shows what the device holds |
//! | `drop DIR` | takes the disk away |

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Clone, Debug)]
pub(crate) struct Power {
    pub(crate) program: PathBuf,
}

impl Power {
    pub(crate) fn tell(&self, what: &str, dir: &Path) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg(what).arg(dir).stdin(Stdio::null());
        let status = command.stdout(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        let program = self.program.display();
        Err(io::Error::other(format!(
            "{program} {what} {}: {status}",
            dir.display()
        )))
    }
}
