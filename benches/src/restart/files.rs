//! The files of a store: how many bytes, and whether they are in the page cache.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use crate::Result;

/// Whether the files of a store are in the page cache when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    Warm,
    Cold,
}

impl Cache {
    pub(super) const BOTH: [Self; 2] = [Self::Warm, Self::Cold];

    /// Brings the files below a directory into this state.
    pub(super) fn prepare(self, dir: &Path) -> Result<()> {
        for path in below(dir)? {
            let failed = |e: io::Error| format!("cannot prepare {}: {e}", path.display());
            let mut file = File::open(&path).map_err(failed)?;
            // Only what is on the disk can be dropped.
            file.sync_data().map_err(failed)?;
            match self {
                Self::Warm => {
                    io::copy(&mut file, &mut io::sink()).map_err(failed)?;
                }
                Self::Cold => {
                    fadvise(&file, 0, None, Advice::DontNeed).map_err(|e| failed(e.into()))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        })
    }
}

/// Bytes of the files below a directory whose names end in this.
pub(super) fn bytes(dir: &Path, ending: &str) -> Result<u64> {
    let mut sum = 0;
    for path in below(dir)? {
        if path.to_string_lossy().ends_with(ending) {
            sum += fs::metadata(&path)?.len();
        }
    }
    Ok(sum)
}

/// The names of the files below a directory with this ending, in order.
pub(super) fn names(dir: &Path, ending: &str) -> Result<Vec<String>> {
    let files = below(dir)?.into_iter();
    let names = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Bytes on the disk of the files with this ending from one name on, without the last of
/// them. Holes do not count.
pub(super) fn held(dir: &Path, ending: &str, from: &str) -> Result<u64> {
    let mut names = names(dir, ending)?;
    names.pop();
    let mut sum = 0;
    for name in names.iter().filter(|name| name.as_str() >= from) {
        sum += fs::metadata(dir.join(name))?.blocks() * 512;
    }
    Ok(sum)
}

/// All files below a directory.
fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| format!("cannot look into {}: {e}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(below(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_at_any_depth_and_counted_by_their_ending() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("aof")).unwrap();
        fs::write(dir.path().join("aof/1.aof"), vec![0; 70_000]).unwrap();
        fs::write(dir.path().join("2.aof"), [0; 5]).unwrap();
        fs::write(dir.path().join("log"), [0; 9]).unwrap();
        assert_eq!(bytes(dir.path(), ".aof").unwrap(), 70_005);
        assert_eq!(below(dir.path()).unwrap().len(), 3);
        fs::write(dir.path().join("3.aof"), vec![1; 900_000]).unwrap();
        fs::write(dir.path().join("4.aof"), vec![1; 900_000]).unwrap();
        let aof = dir.path().join("aof");
        assert_eq!(names(&aof, "").unwrap(), ["1.aof"]);
        assert_eq!(
            held(&aof, ".aof", "").unwrap(),
            0,
            "the newest does not count"
        );
        fs::rename(aof.join("1.aof"), dir.path().join("1.aof")).unwrap();
        let from = |name| held(dir.path(), ".aof", name).unwrap();
        assert_eq!(from("5"), 0);
        assert!(from("3.aof") >= 900_000 && from("") >= from("3.aof") + 70_000);
        for cache in Cache::BOTH {
            cache.prepare(dir.path()).unwrap();
        }
        let error = bytes(&dir.path().join("none"), "").unwrap_err().to_string();
        assert!(error.contains("cannot look into"), "{error}");
    }
}
