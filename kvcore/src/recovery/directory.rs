//! The directory itself: open it, and make sure that nobody else has.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::OpenError;
use crate::disk::{DirLock, Disk, OsDisk};

pub(crate) fn os_disk(dir: &Path) -> Result<Arc<dyn Disk>, OpenError> {
    let disk = OsDisk::open(dir).map_err(OpenError::io(format!(
        "cannot use {} as the data directory",
        dir.display()
    )))?;
    Ok(Arc::new(disk))
}

pub(crate) fn lock(disk: &dyn Disk) -> Result<Box<dyn DirLock>, OpenError> {
    disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked {
            dir: disk.describe(),
        },
        _ => OpenError::Io {
            what: format!("cannot lock {}", disk.describe()),
            source,
        },
    })
}

/// The lock of a directory in which nothing is to be changed.
pub(crate) fn lock_for_reading(disk: &dyn Disk) -> Result<Option<Box<dyn DirLock>>, OpenError> {
    match disk.lock_for_reading() {
        Ok(lock) => Ok(lock),
        Err(source) if source.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked {
            dir: disk.describe(),
        }),
        Err(source) => Err(OpenError::Io {
            what: format!("cannot lock {}", disk.describe()),
            source,
        }),
    }
}
