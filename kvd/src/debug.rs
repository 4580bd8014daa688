//! Faults on request, in builds with the feature `debug-hooks` alone: what a tool that
//! watches the daemon must notice has to be made to happen.
//!
//! `KVD_DEBUG_FREEZE` names a file: while it exists, the thread that writes the log stands
//! still in the first group that it announces, as it would in a sync that does not return.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Store;

const FREEZE_VARIABLE: &str = "KVD_DEBUG_FREEZE";
const LOOK: Duration = Duration::from_millis(5);

/// Lets the writer of the log be frozen.
pub(crate) fn hook(store: &impl Store) {
    let Some(file) = std::env::var_os(FREEZE_VARIABLE).map(PathBuf::from) else {
        return;
    };
    tracing::warn!("the log stands still while {} exists", file.display());
    store.subscribe(Arc::new(move || {
        while file.exists() {
            std::thread::sleep(LOOK);
        }
    }));
}
