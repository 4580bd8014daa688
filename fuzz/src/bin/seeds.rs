//! Writes what every target begins with: `seeds CORPUS` makes CORPUS/TARGET/seed-N; and prints
//! one line per target: its name and the longest input.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> std::io::Result<()> {
    let corpus = PathBuf::from(env::args_os().nth(1).expect("a directory for the corpus"));
    for target in kvd_fuzz::targets() {
        let dir = corpus.join(target.name);
        fs::create_dir_all(&dir)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed)?;
        }
        println!("{} {}", target.name, target.longest);
    }
    Ok(())
}
