//! From files to a store.
//!
//! ```text
//!  survey    which files belong to the store, do their headers form one chain   (reads only)
//!  classify  how does the newest segment end: clean, torn, suspect, corrupt     (reads only)
//!  base      the newest snapshot that the MANIFEST names, if there is one
//!  replay    every unit behind it, in order, into the shards, on all cores
//!  spread    how changes get there: shard by shard, the ordered index at the end
//!  fresh     a new segment whose header fixes where the old one ends
//!  relief    what may go for it if the disk is full
//! ```
//! Invariants:
//! - only the MANIFEST names files: nothing is chosen because it looks newest;
//! - damage at or below any known durable watermark is corruption: refuse to start;
//! - a segment that has been read is never appended to;
//! - what was recovered is durable before anything is served;
//! - a revision never names two units: after an unclean start numbering jumps.

pub mod base;
pub mod check;
pub mod classify;
pub mod directory;
pub mod dump;
pub mod error;
pub mod fresh;
pub mod inspect;
pub mod load;
pub mod rebuild;
pub mod relief;
pub mod repair;
pub mod replay;
pub mod report;
pub mod restore;
pub mod sift;
pub mod sift_snapshot;
pub mod spread;
pub mod summary;
pub mod survey;
pub mod through;

pub use base::DamagedSnapshot;
pub use dump::{DumpOptions, DumpSummary, Dumped, dump};
pub use error::{OpenError, OpenErrorKind};
pub use summary::{LoadProgress, RecoverySummary};
