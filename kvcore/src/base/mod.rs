//! Vocabulary: the words that every other layer speaks. Knows no files and no store.

pub mod alone;
pub mod broken;
pub mod clock;
pub mod engine_clock;
pub mod entropy;
pub mod histogram;
pub mod limits;
pub mod op;
pub mod range;
pub mod remembered;
pub mod revision;
pub mod shared;
pub mod sync;
