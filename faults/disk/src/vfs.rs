//! The way from SQLite to the disks of this crate, as SQLite's own layer for the operating system.
//!
//! It behaves as SQLite's layer for Unix does: a journal or log that is opened makes the names of its folder durable when
//! it is first made durable itself; deleting a file does not.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, LazyLock, Mutex};

use sqlite_plugin::flags::{AccessFlags, CreateMode, LockLevel, OpenKind, OpenMode, OpenOpts, ShmLockMode};
use sqlite_plugin::vars;
use sqlite_plugin::vfs::{RegisterOpts, Vfs, VfsHandle, VfsResult, register_static};
use sqlx::sqlite::SqliteConnectOptions;

use crate::disk::{Disk, Failure, File, lock};

/// The layer's name.
const NAME: &str = "faulty";

/// Disks, by the folder where they seem to lie.
static DISKS: LazyLock<Mutex<BTreeMap<PathBuf, Arc<Disk>>>> = LazyLock::new(|| {
    if let Ok(name) = CString::new(NAME) {
        let registered = register_static(name, Layer, RegisterOpts { make_default: false });
        assert!(registered.is_ok(), "SQLite takes a layer of one's own");
    }
    Mutex::default()
});

/// Folders that were made.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// A disk in a place, for as long as this is held.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
    disk: Arc<Disk>,
}

/// Lets databases of a new folder below another one lie on a disk. Files that SQLite does not know are in the real
/// folder.
///
/// It is a new one each time: connections that nobody closed may still tidy up by name.
///
/// # Panics
/// When the folder cannot be made.
pub fn mount(below: &Path, disk: &Arc<Disk>) -> Mounted {
    let folder = below.join(FOLDERS.fetch_add(1, Ordering::Relaxed).to_string());
    if let Err(error) = std::fs::create_dir(&folder) {
        panic!("{}: {error}", folder.display());
    }
    lock(&DISKS).insert(folder.clone(), Arc::clone(disk));
    Mounted { folder, disk: Arc::clone(disk) }
}

impl Mounted {
    /// Where.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does what programs do at their start with the log of a database, of which they see the real files only.
    pub fn renew_log(&self, database: &str) {
        self.disk.renew(&format!("{database}-wal"));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        lock(&DISKS).remove(&self.folder);
        // What stays goes with the folder above.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The same options, for a database on a mounted disk.
pub fn on_disk(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.vfs(NAME)
}

struct Layer;

struct Handle {
    disk: Arc<Disk>,
    file: Arc<File>,
    id: u64,
    /// A journal or log whose folder may not be durable yet.
    new_name: bool,
    is_database: bool,
    read_only: bool,
}

impl VfsHandle for Handle {
    fn readonly(&self) -> bool {
        self.read_only
    }
    fn in_memory(&self) -> bool {
        false
    }
}

/// The disk of a path, and the file's name.
fn place(path: &str) -> VfsResult<(Arc<Disk>, String)> {
    let path = Path::new(path);
    let disk = path.parent().and_then(|folder| lock(&DISKS).get(folder).cloned());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    disk.zip(name).ok_or(vars::SQLITE_CANTOPEN)
}

fn size(n: usize) -> u64 {
    n as u64
}

impl Vfs for Layer {
    type Handle = Handle;

    fn open(&self, path: Option<&str>, opts: OpenOpts) -> VfsResult<Handle> {
        let is_database = opts.kind() == OpenKind::MainDb;
        let Some(path) = path else {
            // What is sorted or kept for a while, and needs no disk that fails.
            let disk = Disk::new();
            let file = disk.open("temporary", true).map_err(|_| vars::SQLITE_CANTOPEN)?;
            return Ok(Handle { disk, file, id: 0, new_name: false, is_database, read_only: false });
        };
        let (disk, name) = place(path)?;
        let mode = opts.mode();
        let creates =
            matches!(mode, OpenMode::ReadWrite { create: CreateMode::Create | CreateMode::MustCreate });
        // Programs make an empty file that only they can read, before SQLite comes: in the real folder.
        let may_create = creates || is_database && Path::new(path).exists();
        let file = disk.open(&name, may_create).map_err(|failure| match failure {
            Failure::ReadOnly => vars::SQLITE_READONLY_DIRECTORY,
            Failure::Missing | Failure::Full | Failure::NotSynced => vars::SQLITE_CANTOPEN,
        })?;
        let id = disk.handle();
        // Whoever may have made it: it may have been killed before the name was durable.
        let new_name = creates && matches!(opts.kind(), OpenKind::MainJournal | OpenKind::Wal);
        Ok(Handle { disk, file, id, new_name, is_database, read_only: mode.is_readonly() })
    }

    fn delete(&self, path: &str) -> VfsResult<()> {
        let (disk, name) = place(path)?;
        disk.delete(&name).map_err(|failure| match failure {
            Failure::Missing => vars::SQLITE_IOERR_DELETE_NOENT,
            Failure::ReadOnly | Failure::Full | Failure::NotSynced => vars::SQLITE_IOERR_DELETE,
        })
    }

    fn access(&self, path: &str, _: AccessFlags) -> VfsResult<bool> {
        let (disk, name) = place(path)?;
        Ok(disk.exists(&name))
    }

    fn file_size(&self, handle: &mut Handle) -> VfsResult<usize> {
        usize::try_from(handle.file.len()).map_err(|_| vars::SQLITE_IOERR_FSTAT)
    }

    fn truncate(&self, handle: &mut Handle, len: usize) -> VfsResult<()> {
        handle.disk.truncate(&handle.file, size(len)).map_err(|_| vars::SQLITE_IOERR_TRUNCATE)
    }

    fn write(&self, handle: &mut Handle, at: usize, bytes: &[u8]) -> VfsResult<usize> {
        if handle.read_only {
            return Err(vars::SQLITE_IOERR_WRITE);
        }
        match handle.disk.write(&handle.file, size(at), bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(Failure::Full) => Err(vars::SQLITE_FULL),
            Err(Failure::ReadOnly | Failure::Missing | Failure::NotSynced) => Err(vars::SQLITE_IOERR_WRITE),
        }
    }

    fn read(&self, handle: &mut Handle, at: usize, into: &mut [u8]) -> VfsResult<usize> {
        Ok(handle.disk.read(&handle.file, size(at), into, handle.is_database))
    }

    fn lock(&self, handle: &mut Handle, level: LockLevel) -> VfsResult<()> {
        if lock(&handle.file.locks).raise(handle.id, level) { Ok(()) } else { Err(vars::SQLITE_BUSY) }
    }

    fn unlock(&self, handle: &mut Handle, level: LockLevel) -> VfsResult<()> {
        lock(&handle.file.locks).lower(handle.id, level);
        Ok(())
    }

    fn check_reserved_lock(&self, handle: &mut Handle) -> VfsResult<bool> {
        Ok(lock(&handle.file.locks).is_reserved())
    }

    fn sync(&self, handle: &mut Handle) -> VfsResult<()> {
        handle.disk.sync(&handle.file, handle.new_name).map_err(|_| vars::SQLITE_IOERR_FSYNC)?;
        handle.new_name = false;
        Ok(())
    }

    fn close(&self, handle: Handle) -> VfsResult<()> {
        lock(&handle.file.locks).lower(handle.id, LockLevel::Unlocked);
        Ok(())
    }

    /// As on Unix: bytes beside those that are written do not change, and nothing else is promised.
    fn device_characteristics(&self, _: &mut Handle) -> VfsResult<i32> {
        Ok(vars::SQLITE_IOCAP_POWERSAFE_OVERWRITE)
    }

    fn shm_map(
        &self,
        handle: &mut Handle,
        index: usize,
        size: usize,
        extend: bool,
    ) -> VfsResult<Option<NonNull<u8>>> {
        Ok(lock(&handle.file.shared).map(handle.id, index, size, extend))
    }

    fn shm_lock(&self, handle: &mut Handle, from: u32, count: u32, mode: ShmLockMode) -> VfsResult<()> {
        if lock(&handle.file.shared).lock(handle.id, from, count, mode) {
            Ok(())
        } else {
            Err(vars::SQLITE_BUSY)
        }
    }

    fn shm_barrier(&self, _: &mut Handle) {
        fence(Ordering::SeqCst);
    }

    fn shm_unmap(&self, handle: &mut Handle, _delete: bool) -> VfsResult<()> {
        lock(&handle.file.shared).leave(handle.id);
        Ok(())
    }
}
