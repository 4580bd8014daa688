//! The outside world: everything that an embedder's options do not determine.

use std::sync::Arc;

use super::Disk;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;

/// Where files, time and randomness come from.
#[derive(Clone, Debug)]
pub struct Environment {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}
