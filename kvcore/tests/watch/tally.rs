//! What happened in stories, added up: a test that saw none of something proves nothing of it.

use crate::client::Seen;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) stories: u64,
    pub(crate) units: u64,
    pub(crate) power_cuts: u64,
    pub(crate) kills: u64,
    pub(crate) closes: u64,
    pub(crate) poisoned: u64,
    pub(crate) no_space: u64,
    pub(crate) snapshots: u64,
    pub(crate) log_reads: u64,
    pub(crate) seen: Seen,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.units += other.units;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.closes += other.closes;
        self.poisoned += other.poisoned;
        self.no_space += other.no_space;
        self.snapshots += other.snapshots;
        self.log_reads += other.log_reads;
        self.saw(&other.seen);
    }

    pub(crate) fn saw(&mut self, seen: &Seen) {
        let all = &mut self.seen;
        all.events += seen.events;
        all.fragments += seen.fragments;
        all.resyncs += seen.resyncs;
        all.compactions += seen.compactions;
        all.lost += seen.lost;
        all.resumed += seen.resumed;
        all.mirrors += seen.mirrors;
        all.previous += seen.previous;
        all.previous_unavailable += seen.previous_unavailable;
        all.values_unavailable += seen.values_unavailable;
        all.refused_state += seen.refused_state;
    }
}
