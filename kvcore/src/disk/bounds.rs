//! What every disk refuses, so that the real one and the simulated one refuse the same.

use std::io::{Error, ErrorKind, Result};

/// Refuses anything but the name of a direct child of a directory.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{name:?} is not a file name: it must be one path component"),
        ));
    }
    Ok(())
}

/// A segment holds at least one byte: an empty file can be neither mapped nor appended to.
pub(super) fn check_segment_len(len: u64) -> Result<()> {
    if len == 0 || i64::try_from(len).is_err() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a segment cannot be {len} bytes long"),
        ));
    }
    Ok(())
}

/// A room of `size` bytes must hold what is to be written over it.
pub(super) fn check_fits(size: u64, len: usize) -> Result<()> {
    if size < len as u64 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a room of {size} bytes cannot hold {len}"),
        ));
    }
    Ok(())
}

/// Panics unless `offset..offset + len` lies in a file of `size` bytes: the caller has
/// reserved the range before, and a store beside a mapping would hit foreign memory.
pub(super) fn check_range(size: u64, offset: u64, len: usize) -> usize {
    let inside = u64::try_from(len)
        .ok()
        .and_then(|len| offset.checked_add(len))
        .is_some_and(|end| end <= size);
    assert!(
        inside,
        "{len} bytes at {offset} leave a file of {size} bytes"
    );
    usize::try_from(offset).expect("an offset in a file that is mapped fits")
}

/// Panics unless an end mark at `offset` can be one store.
pub(super) fn check_last(offset: u64) {
    assert!(
        offset.is_multiple_of(8),
        "the end mark at {offset} is not aligned to 8 bytes"
    );
}
