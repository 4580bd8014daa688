//! A shorter list of operations that goes wrong as well.

use crate::ops::Op;

/// Runs that are made at most.
const RUNS: usize = 1500;

/// Drops what is not needed: halves, then quarters, down to single operations.
pub(crate) fn shrink(mut ops: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut runs = 0;
    let mut size = ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut dropped = false;
        while at < ops.len() && runs < RUNS {
            let mut fewer = ops.clone();
            fewer.drain(at..ops.len().min(at + size));
            runs += 1;
            if fails(&fewer) {
                ops = fewer;
                dropped = true;
            } else {
                at += size;
            }
        }
        if (size == 1 && !dropped) || runs >= RUNS {
            return ops;
        }
        if !dropped {
            size = size.div_ceil(2);
        }
    }
}
