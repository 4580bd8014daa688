//! Bytes without files.
