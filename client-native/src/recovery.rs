//! The recovery file: what brings the group back when every device is lost.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use rand_core::RngCore;
use sync_e2ee::recovery::{self, RecoveryError};
use sync_e2ee::{Invite, SealError};
use sync_engine::Reply;
use zeroize::Zeroizing;

use crate::clock::rng;
use crate::home::{new_private_file, sync_folder};
use crate::request::Ask;
use crate::store::StoreError;
use crate::{Error, SyncClient};

const NO_MEMORY: Error = Error::Machine("the file's key cannot be derived: 64 MiB of memory are needed");

/// A recovery file and the six words that open it. Whoever has both is as good as a member: keep the file
/// where it survives the devices, and the words on paper, elsewhere.
pub struct RecoveryFile {
    bytes: Vec<u8>,
    phrase: Zeroizing<String>,
}

impl RecoveryFile {
    /// What to keep.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The six words, joined by one space. They are nowhere else.
    pub fn expose_phrase(&self) -> &str {
        &self.phrase
    }

    /// Writes the file durably, readable by its owner only (mode 0600), and never over another one.
    ///
    /// # Errors
    /// [`Error::FileExists`]; [`Error::Store`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written = || {
            let mut file = new_private_file(path)?;
            file.write_all(&self.bytes)?;
            file.sync_all()?;
            sync_folder(folder.unwrap_or(Path::new(".")))
        };
        written().map_err(|error: io::Error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Error::FileExists(path.to_owned());
            }
            StoreError::Io(path.to_owned(), error).into()
        })
    }
}

/// Shows nothing of either.
impl fmt::Debug for RecoveryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryFile").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl SyncClient {
    /// Makes a recovery file of this device's group, under six words that are drawn for it. It brings the
    /// group back as it is now: after the group got a new key ([`rotate`](Self::rotate),
    /// [`remove_device`](Self::remove_device), on any device) it is of no use, so make another one then.
    /// Needs no connection, but one must have been made before. Takes about 0.2 s and 64 MiB, on a thread
    /// of its own.
    ///
    /// # Errors
    /// [`Error::NoGroup`]; [`Error::NotConnected`] when the relay's key is not known yet.
    pub async fn export_recovery(&self) -> Result<RecoveryFile, Error> {
        let membership = self.membership().await?;
        let mut rng = rng()?;
        let phrase = recovery::generate_phrase(&mut rng);
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let sealed = tokio::task::spawn_blocking(move || {
            recovery::seal(&membership, &phrase, salt, &mut rng).map(|bytes| RecoveryFile { bytes, phrase })
        });
        sealed.await.map_err(|_| NO_MEMORY)?.map_err(refused)
    }

    /// Becomes a member of the group of a recovery file. A device that has a relay of its own keeps it: the
    /// group's may have moved. Does not connect, but a client that was told to goes on by itself. Remove
    /// the lost devices then: whoever finds them can read.
    ///
    /// The words may be typed in any case, with spaces or hyphens between them. Takes about 0.2 s and
    /// 64 MiB, on a thread of its own.
    ///
    /// # Errors
    /// [`Error::AlreadyInGroup`], [`Error::RecoveryPhrase`], [`Error::NotARecoveryFile`],
    /// [`Error::RecoveryClosed`]. Whether the file is too old shows when connecting:
    /// [`Error::Refused`] with [`EpochStale`](crate::ErrorCode::EpochStale).
    pub async fn import_recovery(&self, file: &[u8], phrase: &str) -> Result<(), Error> {
        let status = self.status();
        if status.group_id.is_some() {
            return Err(Error::AlreadyInGroup);
        }
        let (file, phrase) = (file.to_vec(), Zeroizing::new(phrase.to_owned()));
        let opened = tokio::task::spawn_blocking(move || recovery::open(&file, &phrase));
        let mut invite = opened.await.map_err(|_| NO_MEMORY)?.map_err(refused)?;
        if let Some(own) = status.relay {
            invite.relay = own;
            invite.relay_key = status.relay_key.unwrap_or(invite.relay_key);
        }
        self.done(Ask::Join(Box::new(invite))).await
    }

    async fn membership(&self) -> Result<Invite, Error> {
        match self.ask(Ask::Membership).await? {
            Reply::Membership(invite) => Ok(*invite),
            Reply::Done | Reply::Queued(_) | Reply::Page(_) | Reply::Devices(_) | Reply::Invite(_) => {
                Err(Error::Closed)
            }
        }
    }
}

fn refused(error: RecoveryError) -> Error {
    match error {
        RecoveryError::Phrase(error) => error.into(),
        RecoveryError::Seal(SealError::UnknownFormat | SealError::TooLarge) => Error::NotARecoveryFile,
        RecoveryError::Seal(SealError::Derivation) => NO_MEMORY,
        RecoveryError::Seal(
            SealError::Decrypt | SealError::Malformed | SealError::WrongEpoch | SealError::WrongSender,
        ) => Error::RecoveryClosed,
    }
}
