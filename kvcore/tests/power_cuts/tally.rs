//! What happened in stories, added up.

/// What happened, to show that the test bites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) stories: u64,
    pub(crate) operations: u64,
    pub(crate) power_cuts: u64,
    pub(crate) cuts_in_recovery: u64,
    pub(crate) kills: u64,
    /// Of a process whose log had failed: the cache shows what the device never got.
    pub(crate) kills_of_failed: u64,
    pub(crate) closes: u64,
    pub(crate) failed_syncs: u64,
    pub(crate) rotations: u64,
    pub(crate) torn_tails: u64,
    pub(crate) lost_unacknowledged: u64,
    pub(crate) synced_acknowledged: u64,
    pub(crate) logged_acknowledged: u64,
    pub(crate) durable_reads: u64,
    pub(crate) snapshots: u64,
    pub(crate) starts_from_snapshots: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.operations += other.operations;
        self.power_cuts += other.power_cuts;
        self.cuts_in_recovery += other.cuts_in_recovery;
        self.kills += other.kills;
        self.kills_of_failed += other.kills_of_failed;
        self.closes += other.closes;
        self.failed_syncs += other.failed_syncs;
        self.rotations += other.rotations;
        self.torn_tails += other.torn_tails;
        self.lost_unacknowledged += other.lost_unacknowledged;
        self.synced_acknowledged += other.synced_acknowledged;
        self.logged_acknowledged += other.logged_acknowledged;
        self.durable_reads += other.durable_reads;
        self.snapshots += other.snapshots;
        self.starts_from_snapshots += other.starts_from_snapshots;
    }
}
