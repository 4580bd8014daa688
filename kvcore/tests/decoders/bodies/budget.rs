//! What a decoder may allocate: no block larger than twice its input and 64 KiB, and a
//! bounded number of them at a time. Lengths that bytes announce are believed only once
//! they are held against the bytes that are there; one that is not shows here.

#![expect(
    unsafe_code,
    reason = "an allocator that counts; for tests and fuzzers only"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with counts. Counts nothing unless it is the global one.
#[derive(Debug)]
pub struct Counting;

fn more(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory
// but three atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        more(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        more(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Relaxed);
        more(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What no block may exceed, for an input of so many bytes.
pub fn largest(input: usize) -> usize {
    2 * input + (64 << 10)
}

/// Runs a decoder over an input of `len` bytes: no block beyond [`largest`], and at no time
/// more than `times` the input and 256 KiB in all.
pub fn within<T>(len: usize, times: usize, decode: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let decoded = decode();
    let block = LARGEST.load(Relaxed);
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(
        block <= largest(len),
        "a block of {block} bytes for an input of {len}"
    );
    assert!(
        peak <= times * len + (256 << 10),
        "{peak} bytes at a time for an input of {len}"
    );
    decoded
}

/// Runs what is made of a whole store; never more than `most` bytes at a time.
pub fn at_most<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(peak <= most, "{peak} bytes at a time");
    done
}

/// The most that was held at a time since this was asked last: to see that it counts.
pub fn peak_of(work: impl FnOnce()) -> usize {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed).saturating_sub(before)
}
