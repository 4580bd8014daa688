//! Files without meaning: segments that are appended to, files that are read, and
//! the few durable steps (rename, directory sync) that everything else is made of.

pub mod traits;

pub use traits::{DirLock, Disk, FileEntry, FsKind, LogIo, ReadFile, SegmentFile};
