//! A pager for what does not fit on the screen.
//!
//! What fits is printed as it is, and no pager is started. A pager that is left
//! early ends the command that feeds it and nothing else.

use std::{
    env,
    io::{self, Write as _},
    process::{Child, Command, Stdio},
};

/// The command that shows long results.
#[derive(Debug)]
pub(crate) struct Pager {
    command: String,
    /// Lines and columns that the screen has room for.
    lines: usize,
    columns: usize,
    held: Vec<u8>,
    used: usize,
    child: Option<Child>,
    left: bool,
}

impl Pager {
    /// As `PAGER` says; none if it is not set, empty or `cat`.
    pub(crate) fn from_environment(lines: usize, columns: usize) -> Option<Self> {
        let command = env::var("PAGER").ok()?.trim().to_owned();
        if command.is_empty() || command == "cat" {
            return None;
        }
        Some(Self::new(command, lines, columns))
    }

    fn new(command: String, lines: usize, columns: usize) -> Self {
        Self {
            command,
            lines,
            columns: columns.max(1),
            held: Vec::new(),
            used: 0,
            child: None,
            left: false,
        }
    }

    /// Keeps what may still fit, and passes the rest on.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.child.is_none() {
            self.held.extend_from_slice(bytes);
            self.used += self.lines_of(bytes);
            if self.used <= self.lines {
                return Ok(());
            }
            self.child = Some(start(&self.command)?);
            let held = std::mem::take(&mut self.held);
            return self.pass(&held);
        }
        self.pass(bytes)
    }

    /// Lines that a text takes, long ones more than one.
    fn lines_of(&self, bytes: &[u8]) -> usize {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| 1 + line.len().saturating_sub(1) / self.columns)
            .sum()
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stdin = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        let Some(stdin) = stdin else {
            return Ok(());
        };
        let written = stdin.write_all(bytes).and_then(|()| stdin.flush());
        self.left |= matches!(&written, Err(e) if e.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    /// Prints what is held, or waits for the pager. True if it was left early.
    pub(super) fn finish(mut self) -> io::Result<bool> {
        match self.child.take() {
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&self.held)?;
                stdout.flush()?;
            }
            Some(mut child) => {
                drop(child.stdin.take());
                // What a shell says of a command that it cannot run.
                if matches!(child.wait()?.code(), Some(126 | 127)) {
                    let text = format!("the pager {:?} cannot be run", self.command);
                    return Err(io::Error::other(text));
                }
            }
        }
        Ok(self.left)
    }
}

/// Through a shell, as `PAGER` may hold arguments.
fn start(command: &str) -> io::Result<Child> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::piped());
    if env::var_os("LESS").is_none() {
        // Colours as they are, and no questions about a result of one screen.
        shell.env("LESS", "FRX");
    }
    shell
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("the pager {command:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn short_results_start_no_pager() {
        let mut pager = Pager::new("exit 1".to_owned(), 3, 10);
        pager.write(b"a\nb\n").expect("held");
        assert!(pager.child.is_none());
        assert_eq!(pager.lines_of(b"0123456789abcdefghij!\n"), 3);
        assert!(!pager.finish().expect("printed"));
    }

    #[test]
    fn long_results_go_through_it_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("seen");
        let mut pager = Pager::new(format!("cat >{}", path.display()), 3, 10);
        for line in ["1\n", "2\n", "3\n", "4\n", "5\n"] {
            pager.write(line.as_bytes()).expect("written");
        }
        assert!(!pager.finish().expect("ended"));
        assert_eq!(fs::read(path).expect("seen"), b"1\n2\n3\n4\n5\n");
    }

    #[test]
    fn a_pager_that_is_left_early_says_so() {
        let mut pager = Pager::new("exec true".to_owned(), 1, 80);
        let page = vec![b'\n'; 1024 * 1024];
        let failed = (0..8).find_map(|_| pager.write(&page).err());
        assert_eq!(failed.expect("closed").kind(), io::ErrorKind::BrokenPipe);
        assert!(pager.finish().expect("ended"));
    }
}
