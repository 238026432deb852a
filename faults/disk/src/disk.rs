//! A disk in memory that remembers everything that was asked of it, and can be made to fail.
//!
//! What SQLite sees is the page cache: every write is there at once. What a power cut leaves is
//! [cut](crate::cut) from the journal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::locks::{Locks, Shared};

/// Names a file for as long as its disk lives, whatever becomes of its name.
pub type FileNo = usize;

/// What was asked of a disk.
#[derive(Debug, Clone)]
pub enum Step {
    /// A file appeared, or got another name, which may have been another file's.
    Create(FileNo, String),
    /// A name went.
    Delete(String),
    /// Bytes were written.
    Write(FileNo, u64, Arc<[u8]>),
    /// A file was made shorter.
    Truncate(FileNo, u64),
    /// A file was made durable.
    Sync(FileNo),
    /// All names were made durable.
    SyncFolder,
    /// The system said that a file could not be made durable. What had been written to it is not going to
    /// be tried again, and may be on the disk or not.
    SyncFailed(FileNo),
}

/// Everything that was asked of a disk, in its order.
pub type Journal = Vec<Step>;

/// Names and contents of files.
pub type Image = BTreeMap<String, Vec<u8>>;

/// How a disk is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Illness {
    /// It is well.
    #[default]
    None,
    /// It has no room: no file grows.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// It takes writes, and cannot make them durable.
    NoSync,
    /// What is read from one part of the database is garbage.
    Corrupt {
        /// Where that part begins, in bytes; it ends with the file.
        from: u64,
    },
}

/// A disk with one folder.
#[derive(Debug, Default)]
pub struct Disk {
    state: Mutex<State>,
    /// Handles are told apart by their locks.
    handles: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Arc<File>>,
    journal: Journal,
    files: FileNo,
    illness: Illness,
}

/// A file as the processes of the machine see it.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) no: FileNo,
    content: Mutex<Vec<u8>>,
    pub(crate) locks: Mutex<Locks>,
    pub(crate) shared: Mutex<Shared>,
}

/// Why a disk does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Missing,
    Full,
    ReadOnly,
    NotSynced,
}

impl Disk {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One with files, which are durable.
    pub fn of(image: Image) -> Arc<Self> {
        let disk = Self::default();
        for (name, content) in image {
            let mut state = disk.state();
            let file = state.create(name);
            lock(&file.content).clone_from(&content);
            state.journal.push(Step::Write(file.no, 0, content.into()));
            state.journal.push(Step::Sync(file.no));
            state.journal.push(Step::SyncFolder);
        }
        Arc::new(disk)
    }

    /// The disk of a machine whose processes were all killed at this point of a journal: what they had written is
    /// there, whether it was made durable or not. No lock and no shared memory is left.
    pub fn after_kill(journal: Journal) -> Arc<Self> {
        let mut files: BTreeMap<FileNo, Arc<File>> = BTreeMap::new();
        let mut state = State::default();
        for step in &journal {
            match step {
                Step::Create(no, name) => {
                    let new = || Arc::new(File { no: *no, ..File::default() });
                    let file = files.entry(*no).or_insert_with(new);
                    state.names.insert(name.clone(), Arc::clone(file));
                    state.files = state.files.max(no + 1);
                }
                Step::Delete(name) => drop(state.names.remove(name)),
                Step::Write(no, at, bytes) => {
                    if let Some(file) = files.get(no) {
                        write_at(&mut lock(&file.content), *at, bytes);
                    }
                }
                Step::Truncate(no, len) => {
                    if let Some(file) = files.get(no) {
                        lock(&file.content).truncate(usize_of(*len));
                    }
                }
                Step::Sync(_) | Step::SyncFolder | Step::SyncFailed(_) => {}
            }
        }
        state.journal = journal;
        Arc::new(Self { state: Mutex::new(state), handles: AtomicU64::default() })
    }

    /// Makes it ill, or well.
    pub fn becomes(&self, illness: Illness) {
        self.state().illness = illness;
    }

    /// How much was asked of it so far: a place in its journal.
    pub fn now(&self) -> usize {
        self.state().journal.len()
    }

    /// Everything that was asked of it.
    pub fn journal(&self) -> Journal {
        self.state().journal.clone()
    }

    /// How long a file is, if it is there.
    pub fn len(&self, name: &str) -> Option<u64> {
        self.state().names.get(name).map(|file| file.len())
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.state().names.is_empty()
    }

    /// Puts a durable copy in the place of a file, if it is there: what programs do with a log that they find, before
    /// SQLite comes.
    pub(crate) fn renew(&self, name: &str) {
        let mut state = self.state();
        let Some(file) = state.names.get(name).cloned() else { return };
        let content = lock(&file.content).clone();
        let beside = format!("{name}.new");
        let copy = state.create(beside.clone());
        lock(&copy.content).clone_from(&content);
        state.journal.push(Step::Write(copy.no, 0, content.into()));
        state.journal.push(Step::Sync(copy.no));
        state.names.remove(&beside);
        state.names.insert(name.to_owned(), Arc::clone(&copy));
        state.journal.push(Step::Create(copy.no, name.to_owned()));
        state.journal.push(Step::Delete(beside));
        state.journal.push(Step::SyncFolder);
    }

    pub(crate) fn handle(&self) -> u64 {
        self.handles.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn open(&self, name: &str, may_create: bool) -> Result<Arc<File>, Failure> {
        let mut state = self.state();
        match state.names.get(name) {
            Some(file) => Ok(Arc::clone(file)),
            None if !may_create => Err(Failure::Missing),
            None => match state.illness {
                Illness::ReadOnly => Err(Failure::ReadOnly),
                Illness::None | Illness::Full | Illness::NoSync | Illness::Corrupt { .. } => {
                    Ok(state.create(name.to_owned()))
                }
            },
        }
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Failure> {
        let mut state = self.state();
        if state.illness == Illness::ReadOnly {
            return Err(Failure::ReadOnly);
        }
        state.names.remove(name).ok_or(Failure::Missing)?;
        state.journal.push(Step::Delete(name.to_owned()));
        Ok(())
    }

    /// As the system's VFS of SQLite has it: an empty file is none.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.len(name).is_some_and(|len| len > 0)
    }

    pub(crate) fn write(&self, file: &File, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut state = self.state();
        let mut content = lock(&file.content);
        match state.illness {
            Illness::ReadOnly => return Err(Failure::ReadOnly),
            Illness::Full if at + bytes.len() as u64 > content.len() as u64 => return Err(Failure::Full),
            Illness::None | Illness::Full | Illness::NoSync | Illness::Corrupt { .. } => {}
        }
        write_at(&mut content, at, bytes);
        state.journal.push(Step::Write(file.no, at, bytes.into()));
        Ok(())
    }

    pub(crate) fn truncate(&self, file: &File, len: u64) -> Result<(), Failure> {
        let mut state = self.state();
        if state.illness == Illness::ReadOnly {
            return Err(Failure::ReadOnly);
        }
        lock(&file.content).truncate(usize_of(len));
        state.journal.push(Step::Truncate(file.no, len));
        Ok(())
    }

    /// `with_folder`: the names of the folder, too.
    pub(crate) fn sync(&self, file: &File, with_folder: bool) -> Result<(), Failure> {
        let mut state = self.state();
        match state.illness {
            Illness::NoSync => {
                state.journal.push(Step::SyncFailed(file.no));
                return Err(Failure::NotSynced);
            }
            Illness::ReadOnly => return Err(Failure::ReadOnly),
            Illness::None | Illness::Full | Illness::Corrupt { .. } => {}
        }
        state.journal.push(Step::Sync(file.no));
        if with_folder {
            state.journal.push(Step::SyncFolder);
        }
        Ok(())
    }

    /// The number of bytes there were.
    pub(crate) fn read(&self, file: &File, at: u64, into: &mut [u8], of_database: bool) -> usize {
        let illness = self.state().illness;
        let content = lock(&file.content);
        let rest = content.get(usize_of(at)..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        if let Illness::Corrupt { from } = illness
            && of_database
            && at >= from
        {
            into[..count].fill(0xa5);
        }
        count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn create(&mut self, name: String) -> Arc<File> {
        let file = Arc::new(File { no: self.files, ..File::default() });
        self.files += 1;
        self.names.insert(name.clone(), Arc::clone(&file));
        self.journal.push(Step::Create(file.no, name));
        file
    }
}

impl File {
    pub(crate) fn len(&self) -> u64 {
        lock(&self.content).len() as u64
    }
}

/// Nothing here is left half done by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write_at(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = usize_of(at);
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

pub(crate) fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
