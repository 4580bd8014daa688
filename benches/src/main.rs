//! `kvbench`: what kvd costs beyond the least that gRPC costs.
//!
//! Absolute numbers of a shared machine mean little, so everything is a ratio of two
//! servers that are asked in turn, by the same driver, in one run.

mod child;
mod client;
mod contents;
mod cpu;
mod driver;
mod floor;
mod floor_map;
mod floor_server;
mod interrupt;
mod report;
mod shapes;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use floor::FloorArgs;

/// The same as kvd's: the floor shall differ in what it does, not in what it runs on.
#[global_allocator]
static ALLOCATOR: kvd::Jemalloc = kvd::Jemalloc;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(
    name = "kvbench",
    version,
    about = "Measures kvd against floors and peers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// kvd against a server with the same messages that answers from a plain map.
    ///
    /// Exit codes: 0, 1 a target was missed (with --check), 2 usage, 70 no figures.
    Floor(Box<FloorArgs>),
    /// The floor itself; serves until its standard input ends.
    FloorServer {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Threads that serve connections.
        #[arg(long, default_value_t = 1)]
        runtimes: usize,
    },
}

/// There are no figures: something failed. Not 1, which is a missed target.
const FAILED: u8 = 70;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Floor(args) => floor(*args),
        Command::FloorServer { listen, runtimes } => {
            floor_server::run(listen, runtimes).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        child::say(&format!("kvbench: {error}"));
        ExitCode::from(FAILED)
    })
}

fn floor(args: FloorArgs) -> Result<ExitCode> {
    let (out, check) = (args.out.clone(), args.check);
    interrupt::catch()?;
    let (page, misses) = floor::run(args)?;
    write!(std::io::stdout(), "{page}")?;
    if let Some(path) = out {
        fs::write(&path, &page).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    for miss in &misses {
        child::say(&format!("missed: {miss}"));
    }
    if check && !misses.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
