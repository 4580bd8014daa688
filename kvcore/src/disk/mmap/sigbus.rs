//! SIGBUS: keeps the process alive when a store into a watched mapping finds no page.
//!
//! The handler may only do what is safe inside a signal: it reads atomics, maps an
//! anonymous page over the missing one and marks the mapping. A SIGBUS from anywhere else
//! is a real bug, or somebody's `kill`, and ends the process as if no handler existed.
//!
//! Watched ranges sit in a fixed array, since a handler can neither lock nor allocate:
//!
//! ```text
//! free:    taken = false   start = 0
//! watched: taken = true    start..start + len    faulted once a store has missed
//! ```

use std::io::{Error, Result};
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// Mappings at one time. The engine needs a handful; tests run many engines at once.
const SLOTS: usize = 512;

#[derive(Debug)]
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    len: AtomicUsize,
    faulted: AtomicBool,
}

impl Slot {
    const fn free() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            faulted: AtomicBool::new(false),
        }
    }

    fn covers(&self, address: usize) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && address.wrapping_sub(start) < self.len.load(Ordering::Acquire)
    }
}

static WATCHED: [Slot; SLOTS] = [const { Slot::free() }; SLOTS];
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(4096);

/// Guards one mapping for as long as it lives. Must be dropped before the mapping is.
#[derive(Debug)]
pub(super) struct Watch(&'static Slot);

impl Watch {
    pub(super) fn start(start: usize, len: usize) -> Result<Self> {
        install()?;
        let slot = WATCHED
            .iter()
            .find(|slot| !slot.taken.swap(true, Ordering::AcqRel))
            .ok_or_else(|| Error::other(format!("more than {SLOTS} segments are mapped")))?;
        slot.faulted.store(false, Ordering::Release);
        slot.len.store(len, Ordering::Release);
        slot.start.store(start, Ordering::Release);
        Ok(Self(slot))
    }

    pub(super) fn faulted(&self) -> bool {
        self.0.faulted.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::Release);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Once per process; a failure is remembered and told every time.
fn install() -> Result<()> {
    static INSTALLED: OnceLock<std::result::Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        // SAFETY: takes a number and returns one.
        let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if let Ok(page_size) = usize::try_from(page_size) {
            PAGE_SIZE.store(page_size, Ordering::Release);
        }
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_sigbus;
        set_action(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK)
            .map_err(|error| error.raw_os_error().unwrap_or_default())
    });
    installed.map_err(Error::from_raw_os_error)
}

fn set_action(handler: usize, flags: c_int) -> Result<()> {
    // SAFETY: plain data, for which all zeros means no flag and an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is initialised and outlives the call; the handler it names is
    // either SIG_DFL or `on_sigbus`, which has the type that SA_SIGINFO asks for.
    let done = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: under SA_SIGINFO the kernel passes a valid siginfo.
    let info = unsafe { &*info };
    // Positive: raised by the kernel for an access. Else sent by `kill`, without an address.
    let from_access = info.si_code > 0;
    if from_access {
        // SAFETY: a SIGBUS that the kernel raises for an access carries the address.
        let address = unsafe { info.si_addr() };
        if substitute(address) {
            return;
        }
    }
    // Returning repeats a faulting access, which then ends the process in the right place.
    let _ignored = set_action(libc::SIG_DFL, 0);
    if !from_access {
        // SAFETY: async-signal-safe; delivered when this handler returns.
        let _ignored = unsafe { libc::raise(signal) };
    }
}

/// Puts an anonymous page where `address` missed, if a watched mapping is there.
fn substitute(address: *mut c_void) -> bool {
    let mut watched = false;
    // All that match, not the first: a slot that changes hands right now may match by
    // accident, and the one that really missed must not be passed over for it.
    for slot in WATCHED.iter().filter(|slot| slot.covers(address.addr())) {
        slot.faulted.store(true, Ordering::Release);
        watched = true;
    }
    if !watched {
        return false;
    }
    let page_size = PAGE_SIZE.load(Ordering::Acquire);
    let page = address.map_addr(|address| address & !(page_size - 1));
    // SAFETY: the page lies in a live mapping of ours (its watch ends before it does), to
    // which no reference exists; replacing it is the purpose. `mmap` is a bare system call.
    let mapped = unsafe {
        libc::mmap(
            page,
            page_size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    mapped != libc::MAP_FAILED
}
