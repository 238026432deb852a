//! The folder of one device, and whose turn it is to use it.
//!
//! Several processes may use one folder (`watch` in one terminal, `push` in another), but the device's
//! chain and its connection must never be used twice at once. So whoever has `client.lock` owns the
//! state; whoever wants it first takes `client.want` and then waits for `client.lock`. The owner looks
//! now and then whether `client.want` is taken; if so it lets go of everything, and queues up itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;
use crate::store::StoreError;

/// How often somebody who waits tries again.
const RETRY: Duration = Duration::from_millis(20);

/// One device's folder.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    folder: PathBuf,
}

/// The right to use the folder; dropping it gives that back.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Locked as long as this is here.
    _lock: File,
    want: File,
    since: Instant,
}

impl Home {
    /// The folder, made with mode 0700 if it is not there.
    pub(crate) fn prepare(folder: &Path) -> Result<Self, StoreError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| StoreError::Io(folder.to_owned(), error))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits for a turn, at most this long.
    pub(crate) async fn enter(&self, limit: Duration) -> Result<Turn, Error> {
        match tokio::time::timeout(limit, self.wait()).await {
            Ok(turn) => turn,
            Err(_) => Err(Error::Busy(self.folder.clone())),
        }
    }

    /// Waits for a turn, however long it takes.
    pub(crate) async fn wait(&self) -> Result<Turn, Error> {
        let want = self.open("client.want")?;
        self.lock(&want).await?;
        let lock = self.open("client.lock")?;
        self.lock(&lock).await?;
        want.unlock().map_err(|error| self.failed("client.want", error))?;
        Ok(Turn { _lock: lock, want, since: Instant::now() })
    }

    fn open(&self, name: &str) -> Result<File, Error> {
        private_file(&self.folder.join(name)).map_err(|error| self.failed(name, error))
    }

    /// Tries until it works: unlike a blocking call, this can be given up.
    async fn lock(&self, file: &File) -> Result<(), Error> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => sleep(RETRY).await,
                Err(TryLockError::Error(error)) => return Err(self.failed("lock", error)),
            }
        }
    }

    fn failed(&self, name: &str, error: io::Error) -> Error {
        StoreError::Io(self.folder.join(name), error).into()
    }
}

impl Turn {
    /// Whether another process waits, and this turn has lasted at least that long.
    pub(crate) fn is_over(&self, at_least: Duration) -> bool {
        if self.since.elapsed() < at_least {
            return false;
        }
        match self.want.try_lock() {
            // Nobody waits. Whoever tries at this very moment tries again.
            Ok(()) => self.want.unlock().is_err(),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }
}

/// Opens a file that only its owner can read, and makes it if it is not there.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let file = private().create(true).truncate(false).open(path)?;
    keep_private(&file);
    Ok(file)
}

/// Makes a file that only its owner can read; fails when there is one.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the names in a folder durable, where that takes anything.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Takes from everybody else what a copy or a backup may have given them.
pub(crate) fn keep_private(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let kept = file.metadata().and_then(|metadata| {
            if metadata.permissions().mode() & 0o077 == 0 {
                return Ok(());
            }
            file.set_permissions(std::fs::Permissions::from_mode(0o600))
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "a file of this device cannot be made private");
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_noticed_and_gets_the_next_turn() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("a/b")).unwrap();
        let first = home.wait().await.unwrap();
        assert!(!first.is_over(Duration::ZERO));
        let second = tokio::spawn({
            let home = home.clone();
            async move { home.wait().await }
        });
        while !first.is_over(Duration::ZERO) {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!first.is_over(Duration::from_secs(600)));
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert!(!second.is_over(Duration::ZERO));
    }

    #[tokio::test]
    async fn waiting_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(folder.path()).unwrap();
        let first = home.wait().await.unwrap();
        let refused = home.enter(Duration::from_millis(1)).await;
        assert!(matches!(refused, Err(Error::Busy(_))));
        assert!(!first.is_over(Duration::ZERO), "who gave up does not wait any more");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_can_look_in() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("home")).unwrap();
        let _turn = home.wait().await.unwrap();
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.folder().to_owned()), 0o700);
        assert_eq!(mode(home.folder().join("client.lock")), 0o600);
    }
}
