//! Deliberately broken builds: the test of the tests.
//!
//! Each names one way in which a store of this kind has lost data. In a build with
//! the `sim` feature a test can switch one on for its own thread and must then see
//! its checker fail; in every other build [`is`] is the constant `false`.

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Build {
    /// Report a group as durable before its sync has returned.
    AcknowledgeBeforeSync,
    /// Hand the unit to the log after its locks are released.
    SendAfterUnlock,
    /// Append to the segment that recovery has read instead of a fresh one.
    AppendToRecoveredTail,
    /// Rename without making the directory durable.
    SkipDirSync,
    /// Call sync again after it has failed.
    RetryFailedSync,
    /// Go on although a store did not reach the file.
    IgnoreFault,
    /// Believe at a start what the page cache shows.
    BelieveCache,
    /// Take any bad checksum for the end of the log.
    TruncateOnAnyBadCrc,
    /// Number on after an unclean start as if nothing had been lost.
    ReuseRevisions,
    /// Let "not found" reveal nothing.
    MissIgnoresDeletes,
    /// Let a reader that meets an expired key take it away without logging that.
    ExpiryWithoutDoor,
    /// Enter a new key into the index after its shard is unlocked.
    IndexAfterUnlock,
    /// Let a transaction over a range lock the shards of the keys that are there only.
    RangeLocksPresentKeys,
    /// Read the keys of a batch one shard after the other.
    BatchShardByShard,
    /// Look a request id up before its stripe is locked.
    RequestIdOutsideStripe,
    /// Read the clock before the locks are held.
    NowBeforeLock,
    /// Replay the log from where a snapshot ends, not from where it starts.
    ReplayFromSnapshotEnd,
    /// Publish a snapshot before the log is durable up to its end.
    PublishBeforeDurable,
    /// Remove segments before the MANIFEST that does not need them is durable.
    RemoveBeforeManifest,
    /// Keep of the log only what comes after a snapshot's end.
    SnapshotForgetsLog,
    /// Show whoever watches at DURABLE what is only logged.
    WatchBeforeDurable,
    /// Enter a watch without the lock that dispatching holds.
    RegisterOutsideSeam,
    /// Forget the changes that a full queue has no room for.
    DropOnFullQueue,
    /// Send the current records without saying that everything else is gone.
    ResyncWithoutAbsences,
}

#[cfg(feature = "sim")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Build>> = const { std::cell::Cell::new(None) };
}

/// Is this the build at hand?
#[cfg(feature = "sim")]
#[inline]
pub fn is(build: Build) -> bool {
    ACTIVE.with(|active| active.get() == Some(build))
}

#[cfg(not(feature = "sim"))]
#[inline]
pub const fn is(_: Build) -> bool {
    false
}

/// Runs `f` on this thread as the broken build.
#[cfg(feature = "sim")]
pub fn with<R>(build: Build, f: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            ACTIVE.with(|active| active.set(None));
        }
    }
    let _reset = Reset;
    ACTIVE.with(|active| active.set(Some(build)));
    f()
}
