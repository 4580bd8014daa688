//! Vocabulary: the words that every other layer speaks. Depends on std alone.

pub mod broken;
pub mod clock;
pub mod entropy;
pub mod limits;
pub mod op;
pub mod revision;
