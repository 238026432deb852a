//! What readers were given.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sync_client::{BlobId, Cursor};

use super::{Promised, Rules, Told, Violation};
use crate::item::{Item, WriterNo};
use crate::journal::Entry;
use crate::relay_log::RelayLog;

/// What one reader has seen, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) read: u64,
    pub(super) again: u64,
    pub(super) violations: Vec<Violation>,
    first: BTreeMap<Item, (BlobId, Cursor)>,
    newest: HashMap<WriterNo, u64>,
    /// What it has taken and not yet said to have, and what it has said to have.
    unsaid: Vec<(Item, Cursor)>,
    said: HashSet<Item>,
}

impl Seen {
    pub(super) fn of(reader: &Told, promised: &Promised, rules: Rules) -> Self {
        let mut seen = Self::default();
        for entry in &reader.entries {
            match entry {
                Entry::Took(_, cursor, None) => seen.is_strange(reader, *cursor),
                Entry::Took(_, cursor, Some(item))
                    if promised.groups.get(&item.writer) != Some(&reader.group) =>
                {
                    seen.is_strange(reader, *cursor);
                }
                Entry::Took(blob, cursor, Some(item)) => seen.take(reader, *item, (*blob, *cursor), rules),
                Entry::Has(cursor) => seen.say(*cursor),
                // What it had not said is given to it again, whole pages of it.
                Entry::Start => seen.unsaid.clear(),
                Entry::Try(_) | Entry::Queued(..) | Entry::Acked(..) | Entry::Alarm(_) => {}
            }
        }
        let wanted = promised.queued.get(&reader.group).into_iter().flatten();
        for (item, _) in wanted.filter(|(item, _)| !seen.first.contains_key(item)) {
            seen.violations.push(Violation::NotRead { reader: reader.name.clone(), item: *item });
        }
        seen
    }

    fn say(&mut self, has: Cursor) {
        let said = self.unsaid.extract_if(.., |(_, cursor)| *cursor <= has);
        self.said.extend(said.map(|(item, _)| item));
    }

    fn is_strange(&mut self, reader: &Told, cursor: Cursor) {
        self.violations.push(Violation::Strange { reader: reader.name.clone(), cursor: cursor.get() });
    }

    fn take(&mut self, reader: &Told, item: Item, place: (BlobId, Cursor), rules: Rules) {
        self.read += 1;
        let reader = reader.name.clone();
        self.unsaid.push((item, place.1));
        if let Some(before) = self.first.get(&item) {
            self.again += 1;
            // After a reset the cursor may be another one; the blob is the same.
            if before.0 != place.0 || before.1 != place.1 && !rules.relay_reset {
                self.violations.push(Violation::Twice { reader, item });
            } else if self.said.contains(&item) {
                self.violations.push(Violation::ShownAgain { reader, item });
            }
            return;
        }
        self.first.insert(item, place);
        let newest = self.newest.entry(item.writer).or_default();
        if item.number < *newest {
            self.violations.push(Violation::OutOfOrder { reader, item });
        }
        *newest = item.number.max(*newest);
    }
}

/// Cursors under which one was told of one blob, and somebody else of another, or the relay now holds another.
pub(super) fn reused(told: &[Told], promised: &Promised, log: &RelayLog) -> Vec<Violation> {
    let group_of = |writer| promised.groups.get(&writer).copied().unwrap_or_default();
    let acked = promised.acked.iter().map(|(item, blob, cursor)| (group_of(item.writer), *cursor, *blob));
    let took = |entry: &Entry| {
        let Entry::Took(blob, cursor, _) = entry else { return None };
        Some((*cursor, *blob))
    };
    let readers = told.iter().filter(|told| told.writer.is_none());
    let by_readers = readers.flat_map(|told| {
        told.entries.iter().filter_map(took).map(|(cursor, blob)| (told.group, cursor, blob))
    });
    // A blob by which the group is found in the log.
    let known = |group| promised.queued.get(&group)?.values().find(|blob| log.place(blob).is_some());
    let known: HashMap<usize, BlobId> =
        promised.queued.keys().filter_map(|group| Some((*group, *known(*group)?))).collect();
    let (mut first, mut reused) = (HashMap::new(), BTreeSet::new());
    for (group, cursor, blob) in acked.chain(by_readers) {
        let now = known.get(&group).and_then(|known| log.beside(known, cursor));
        if *first.entry((group, cursor)).or_insert(blob) != blob || now.is_some_and(|now| now != blob) {
            reused.insert(cursor.get());
        }
    }
    reused.into_iter().map(Violation::CursorReused).collect()
}
