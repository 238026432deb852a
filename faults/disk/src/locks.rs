//! The locks and the shared memory of one database, as its connections see them.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sqlite_plugin::flags::{LockLevel, ShmLockMode};

/// Locks on the database file itself. In WAL mode all connections share it.
#[derive(Debug, Default)]
pub(crate) struct Locks(BTreeMap<u64, LockLevel>);

impl Locks {
    /// Gives a connection a higher lock, if the others allow it.
    pub(crate) fn raise(&mut self, handle: u64, to: LockLevel) -> bool {
        let others = self.0.iter().filter(|(other, _)| **other != handle).map(|(_, level)| *level).max();
        let others = others.unwrap_or(LockLevel::Unlocked);
        let allowed = match to {
            LockLevel::Unlocked => true,
            LockLevel::Shared => others < LockLevel::Pending,
            LockLevel::Reserved | LockLevel::Pending => others < LockLevel::Reserved,
            LockLevel::Exclusive => others == LockLevel::Unlocked,
        };
        if allowed {
            self.0.insert(handle, to);
        } else if to == LockLevel::Exclusive && others < LockLevel::Reserved {
            // Who waits for the readers lets no more of them in.
            self.0.insert(handle, LockLevel::Pending);
        }
        allowed
    }

    pub(crate) fn lower(&mut self, handle: u64, to: LockLevel) {
        if to == LockLevel::Unlocked {
            self.0.remove(&handle);
        } else {
            self.0.insert(handle, to);
        }
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.0.values().any(|level| *level >= LockLevel::Reserved)
    }
}

/// Locks that there are in shared memory.
const SLOTS: usize = 8;

/// The index of the write-ahead log, in memory that connections share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    regions: Vec<Arc<[AtomicU64]>>,
    slots: [Slot; SLOTS],
    users: Vec<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    readers: Vec<u64>,
    writer: Option<u64>,
}

impl Shared {
    /// Where a region lies, if it is there or may be made. It stays there until nobody uses any.
    pub(crate) fn map(
        &mut self,
        handle: u64,
        index: usize,
        size: usize,
        extend: bool,
    ) -> Option<NonNull<u8>> {
        if !self.users.contains(&handle) {
            self.users.push(handle);
        }
        while extend && self.regions.len() <= index {
            self.regions.push((0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
        }
        // Atomics may be written through a shared reference, which is what SQLite is going to do.
        self.regions.get(index).map(|region| NonNull::from(&**region).cast())
    }

    pub(crate) fn lock(&mut self, handle: u64, from: u32, count: u32, mode: ShmLockMode) -> bool {
        let range = from as usize..(from as usize + count as usize).min(SLOTS);
        let Some(slots) = self.slots.get_mut(range) else { return false };
        let others_read = |slot: &Slot| slot.readers.iter().any(|reader| *reader != handle);
        let other_writes = |slot: &Slot| slot.writer.is_some_and(|writer| writer != handle);
        match mode {
            ShmLockMode::LockShared => {
                if slots.iter().any(other_writes) {
                    return false;
                }
                slots.iter_mut().for_each(|slot| slot.readers.push(handle));
            }
            ShmLockMode::LockExclusive => {
                if slots.iter().any(|slot| other_writes(slot) || others_read(slot)) {
                    return false;
                }
                slots.iter_mut().for_each(|slot| slot.writer = Some(handle));
            }
            ShmLockMode::UnlockShared => {
                slots.iter_mut().for_each(|slot| slot.readers.retain(|reader| *reader != handle));
            }
            ShmLockMode::UnlockExclusive => {
                slots
                    .iter_mut()
                    .filter(|slot| slot.writer == Some(handle))
                    .for_each(|slot| slot.writer = None);
            }
        }
        true
    }

    /// A connection uses it no more.
    pub(crate) fn leave(&mut self, handle: u64) {
        for slot in &mut self.slots {
            slot.readers.retain(|reader| *reader != handle);
            slot.writer = slot.writer.filter(|writer| *writer != handle);
        }
        self.users.retain(|user| *user != handle);
        if self.users.is_empty() {
            self.regions.clear();
        }
    }
}
