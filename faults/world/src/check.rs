//! What must hold, whatever was killed, cut, wrong or old: what apps have written down is held against each
//! other and against the relay's database.

mod leaks;
mod readers;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use sync_client::{BlobId, Cursor};

use crate::item::{Item, WriterNo};
use crate::journal::Entry;
use crate::relay_log::RelayLog;
pub use leaks::{Secrets, leaks};

/// Most violations that are shown; the rest is mostly more of the same.
const SHOWN: usize = 20;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The relay has acknowledged it, and has it not.
    #[error("an acknowledged push was lost: {0}")]
    Lost(Item),
    /// The client took it, and it came to nobody.
    #[error("a push that returned never came to the relay: {0}")]
    NotSent(Item),
    /// One cursor was two blobs'.
    #[error("cursor {0} was used twice")]
    CursorReused(u64),
    /// A cursor without a blob.
    #[error("there is a gap in the log at cursor {0}")]
    Gap(u64),
    /// One item in two places.
    #[error("{reader} was given {item} twice, in two places")]
    Twice {
        /// By whom it was noticed.
        reader: String,
        /// Which.
        item: Item,
    },
    /// It was said to be there.
    #[error("{reader} was given {item} again, though it had said that it has it")]
    ShownAgain {
        /// Who.
        reader: String,
        /// Which.
        item: Item,
    },
    /// After a later one of the same writer.
    #[error("{reader} was given {item} too late")]
    OutOfOrder {
        /// Who.
        reader: String,
        /// Which.
        item: Item,
    },
    /// Everything else came.
    #[error("{reader} has never written {item} down")]
    NotRead {
        /// Who.
        reader: String,
        /// Which.
        item: Item,
    },
    /// Nobody has pushed that, or not to this group.
    #[error("{reader} was given at cursor {cursor} what nobody has pushed there")]
    Strange {
        /// Who.
        reader: String,
        /// Where.
        cursor: u64,
    },
    /// Something that a person would be frightened by.
    #[error("{device} was alarmed: {what}")]
    Alarm {
        /// Who.
        device: String,
        /// By what.
        what: String,
    },
    /// The relay's files say something.
    #[error("{what} can be read in the relay's {file}")]
    Readable {
        /// Which.
        file: String,
        /// What.
        what: &'static str,
    },
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {} of writer {}", self.number, self.writer)
    }
}

/// Everything that was not kept.
#[derive(Debug, thiserror::Error)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} promises were not kept", self.0.len())?;
        self.0.iter().take(SHOWN).try_for_each(|violation| write!(f, "\n  {violation}"))
    }
}

/// What may be in a world without being a violation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// The relay's database was replaced by an older one: cursors start over, and what all devices have need not
    /// be there again.
    pub relay_reset: bool,
    /// That was not to be seen by the store's id: whoever had heard of the other log says so.
    pub fork: bool,
    /// Bytes were changed on their way: it may be noticed.
    pub tampering: bool,
}

impl Rules {
    fn allows(self, alarm: &str) -> bool {
        self.relay_reset && alarm == "RelayReset"
            || self.fork && alarm.starts_with("Forked ")
            || self.tampering && alarm == "RelayMisbehaved"
    }
}

/// A device's journal.
#[derive(Debug)]
pub struct Told {
    /// What it is called here.
    pub name: String,
    /// Who reads what its group's members push.
    pub group: usize,
    /// Its number, if it pushes.
    pub writer: Option<WriterNo>,
    /// What it has written down.
    pub entries: Vec<Entry>,
}

/// What a check has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// Pushes that returned.
    pub queued: u64,
    /// Pushes that were acknowledged while their program lived.
    pub acked: u64,
    /// Items that readers have written down.
    pub read: u64,
    /// Of those, again because the reader was killed before it had said so.
    pub again: u64,
    /// Cursors that the relay has given out.
    pub cursors: u64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.queued += other.queued;
        self.acked += other.acked;
        self.read += other.read;
        self.again += other.again;
        self.cursors += other.cursors;
    }
}

/// What the writers were promised.
#[derive(Debug, Default)]
struct Promised {
    /// Which items must be everywhere, by group.
    queued: BTreeMap<usize, BTreeMap<Item, BlobId>>,
    acked: Vec<(Item, BlobId, Cursor)>,
    /// The groups of the writers.
    groups: HashMap<WriterNo, usize>,
}

/// Holds the journals of all devices against each other and the log, when everything has arrived.
pub fn check(told: &[Told], log: &RelayLog, rules: Rules) -> (Vec<Violation>, Sums) {
    let mut violations: Vec<Violation> = log.gaps().into_iter().map(Violation::Gap).collect();
    let promised = promised(told);
    let mut sums = Sums {
        queued: promised.queued.values().map(|items| items.len() as u64).sum(),
        acked: promised.acked.len() as u64,
        cursors: log.cursors(),
        ..Sums::default()
    };
    violations.extend(alarms(told, rules));
    if !rules.relay_reset {
        violations.extend(acked_and_not_there(&promised.acked, log));
        let missing = promised.queued.values().flatten().filter(|(_, blob)| log.place(blob).is_none());
        violations.extend(missing.map(|(item, _)| Violation::NotSent(*item)));
        violations.extend(readers::reused(told, &promised, log));
    }
    for reader in told.iter().filter(|told| told.writer.is_none()) {
        let seen = readers::Seen::of(reader, &promised, rules);
        sums.read += seen.read;
        sums.again += seen.again;
        violations.extend(seen.violations);
    }
    (violations, sums)
}

/// What was acknowledged and is not in its place, whatever became of it.
pub fn acked_and_not_there(acked: &[(Item, BlobId, Cursor)], log: &RelayLog) -> Vec<Violation> {
    let lost = acked.iter().filter(|(_, blob, cursor)| log.place(blob) != Some(*cursor));
    lost.map(|(item, ..)| Violation::Lost(*item)).collect()
}

/// The acknowledgements of a journal.
pub fn acks(writer: WriterNo, entries: &[Entry]) -> impl Iterator<Item = (Item, BlobId, Cursor)> {
    entries.iter().filter_map(move |entry| {
        let Entry::Acked(number, blob, cursor) = entry else { return None };
        Some((Item { writer, number: *number }, *blob, *cursor))
    })
}

fn promised(told: &[Told]) -> Promised {
    let mut promised = Promised::default();
    for (told, writer) in told.iter().filter_map(|told| Some((told, told.writer?))) {
        promised.groups.insert(writer, told.group);
        promised.acked.extend(acks(writer, &told.entries));
        let queued = promised.queued.entry(told.group).or_default();
        for entry in &told.entries {
            if let Entry::Queued(number, blob) = entry {
                queued.insert(Item { writer, number: *number }, *blob);
            }
        }
    }
    promised
}

fn alarms(told: &[Told], rules: Rules) -> Vec<Violation> {
    let all = told.iter().flat_map(|told| told.entries.iter().map(move |entry| (&told.name, entry)));
    let alarm = |(device, entry): (&String, &Entry)| {
        let Entry::Alarm(what) = entry else { return None };
        (!rules.allows(what)).then(|| Violation::Alarm { device: device.clone(), what: what.clone() })
    };
    all.filter_map(alarm).collect()
}
