//! The servers that kvd is held against: Redis and etcd, as Debian packages them, with
//! a configuration that promises what kvd promises.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::child::{self, Home, Launcher, Server, free_address};

/// A server of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Redis,
    Etcd,
}

/// What an acknowledged write has, where that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It is on stable storage.
    Always,
    /// It will be within a second or so.
    EverySecond,
    /// It is in memory until somebody asks for a dump.
    Nothing,
}

impl Peer {
    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Etcd => "etcd",
        }
    }

    /// Where its program is, or what is missing.
    pub(crate) fn find(self) -> std::result::Result<PathBuf, String> {
        let name = self.program();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|dir| dir.join(name));
        places.find(|file| file.is_file()).ok_or_else(|| {
            let package = if self == Self::Etcd {
                "etcd-server"
            } else {
                name
            };
            format!("{self} is missing: {name} is not in the path (apt-get install {package})")
        })
    }

    /// Starts it on an empty directory: acknowledged means on stable storage.
    pub(crate) fn start(self, program: &Path, launcher: &Launcher) -> Result<Server> {
        let home = launcher.home(self.program())?;
        self.start_in(&home, program, Promise::Always)
    }

    /// Starts it on what a directory holds. etcd always promises the same.
    pub(crate) fn start_in(self, home: &Home, program: &Path, promise: Promise) -> Result<Server> {
        match self {
            Self::Redis => child::peer(home, "redis", program, |dir, address| {
                let port = address.port().to_string();
                let (append, fsync) = match promise {
                    Promise::Always => ("yes", "always"),
                    Promise::EverySecond => ("yes", "everysec"),
                    Promise::Nothing => ("no", "no"),
                };
                let flags = [
                    ["--bind", "127.0.0.1"],
                    ["--port", &port],
                    ["--save", ""],
                    ["--appendonly", append],
                    ["--appendfsync", fsync],
                    ["--auto-aof-rewrite-percentage", "0"],
                ];
                let mut args: Vec<OsString> = flags.as_flattened().iter().map(Into::into).collect();
                args.extend(["--dir".into(), dir.into()]);
                args
            }),
            Self::Etcd => {
                let peer = format!("http://{}", free_address()?);
                child::peer(home, "etcd", program, |dir, address| {
                    let client = format!("http://{address}");
                    let cluster = format!("bench={peer}");
                    let flags = [
                        ["--name", "bench"],
                        ["--listen-client-urls", &client],
                        ["--advertise-client-urls", &client],
                        ["--listen-peer-urls", &peer],
                        ["--initial-advertise-peer-urls", &peer],
                        ["--initial-cluster", &cluster],
                        ["--quota-backend-bytes", "8589934592"],
                        ["--logger", "zap"],
                        ["--log-level", "error"],
                    ];
                    let mut args: Vec<OsString> =
                        flags.as_flattened().iter().map(Into::into).collect();
                    args.extend(["--data-dir".into(), dir.join("data").into()]);
                    args
                })
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Etcd => "etcd",
        })
    }
}

/// What a program says about its version.
pub(crate) fn version(program: &Path) -> String {
    let output = std::process::Command::new(program)
        .arg("--version")
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("version unknown").to_owned()
}
