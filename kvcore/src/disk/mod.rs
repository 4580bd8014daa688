//! Files without meaning: segments that are appended to, files that are read, and
//! the few durable steps (rename, directory sync) that everything else is made of.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`traits`] | the seam that everything above is written against |
//! | [`os`] | the real directory; `mmap` and `pwrite` are its two kinds of segment |
//! | `sim` | a directory in memory that loses power on demand; for tests |

mod bounds;
mod dir_lock;
mod durable;
pub mod environment;
mod fs_kind;
mod mmap;
pub mod os;
mod pwrite;
mod read;
#[cfg(feature = "sim")]
pub mod sim;
mod stream;
#[cfg(test)]
mod tests;
pub mod traits;

pub use environment::Environment;
pub use os::{OsDisk, plain_file};
#[cfg(feature = "sim")]
pub use sim::{SimDisk, SimRng};
pub use traits::{DirLock, Disk, FileEntry, FsKind, LogIo, ReadFile, SegmentFile, StreamFile};
