//! What a run did, in figures.

use std::fmt;
use std::ops::AddAssign;

use crate::check::Sums;

/// What was done, and what was found to hold: a run ends at the first thing that does not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Moments at which something was killed.
    pub rounds: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Connections that ended badly.
    pub cuts: u64,
    /// Of those, by a segment that came twice.
    pub doubled: u64,
    /// Worlds with wrong clocks.
    pub clocks: u64,
    /// Devices that slept.
    pub sleeps: u64,
    /// Relays that went back to an old copy.
    pub copies: u64,
    /// What was checked.
    pub sums: Sums,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.rounds += more.rounds;
        self.kills += more.kills;
        self.cuts += more.cuts;
        self.doubled += more.doubled;
        self.clocks += more.clocks;
        self.sleeps += more.sleeps;
        self.copies += more.copies;
        self.sums += more.sums;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = [
            (self.rounds, "kill rounds"),
            (self.kills, "processes killed"),
            (self.cuts, "connections ended badly"),
            (self.doubled, "of them doubled"),
            (self.clocks, "sets of wrong clocks"),
            (self.sleeps, "devices asleep"),
            (self.copies, "old copies"),
        ];
        for (count, what) in done.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count} {what}, ")?;
        }
        let Sums { queued, acked, read, again, cursors } = self.sums;
        write!(
            f,
            "{queued} items pushed, {acked} acknowledged to a living app, 0 lost, {cursors} cursors, 0 reused or left \
             out, {read} reads, 0 twice, {again} shown again after a kill, 0 readable at the relay"
        )
    }
}
