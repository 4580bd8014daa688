//! The engine of kvd: a durable key-value store that keeps everything in memory.
//!
//! Layers, each knowing only those above it in this list:
//!
//! | layer | modules |
//! | --- | --- |
//! | 0 vocabulary | [`base`] |
//! | 1 files and bytes | [`disk`], [`format`] |

pub mod base;
pub mod disk;
pub mod format;
