//! The key that seals the local store: in the platform's keychain where there is one, else in a file.
//!
//! `client.key` says in one line where it is: `v1 file <key>` or `v1 keychain <account>`. A store
//! whose key is in the keychain never falls back to another place: without its key it is of no use.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use rand_core::RngCore;
use sync_e2ee::at_rest::StoreKey;
use zeroize::Zeroizing;

use crate::Error;
use crate::clock;
use crate::home::{keep_private, private_file, sync_folder};
use crate::store::{self, StoreError};

const FILE: &str = "client.key";
#[cfg(feature = "keychain")]
const SERVICE: &str = "sync-relay";

/// Whether the platform's keychain is used for a new device's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keychain {
    /// Where there is one. The platform may ask the person to unlock it.
    #[default]
    Auto,
    /// Not at all: the key is in a file that only its owner can read.
    Off,
}

/// Where the key of the local store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the platform's keychain: a copy of the folder alone opens nothing.
    Keychain,
    /// In the file `client.key` beside the store: whoever can read this folder can read everything.
    File,
}

/// Where a folder says where its key is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Gives the store's key; makes one when there is none and `create` is set. May wait for a person who
/// unlocks the keychain.
pub(crate) fn load(folder: &Path, keychain: Keychain, create: bool) -> Result<(StoreKey, KeyPlace), Error> {
    let path = path(folder);
    let io = |error| StoreError::Io(path.clone(), error);
    let mut text = Zeroizing::new(String::new());
    match fs::File::open(&path) {
        Ok(mut file) => {
            keep_private(&file);
            file.read_to_string(&mut text).map_err(io)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound && create => {
            // Another key would open nothing of it.
            if fs::metadata(store::path(folder)).is_ok_and(|store| store.len() > 0) {
                return Err(StoreError::KeyFile.into());
            }
            return match make(folder, keychain)? {
                Some(made) => Ok(made),
                None => load(folder, keychain, false),
            };
        }
        Err(error) => return Err(io(error).into()),
    }
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("v1"), Some("file"), Some(key), None) => {
            let key = Zeroizing::new(BASE64URL_NOPAD.decode(key.as_bytes()).unwrap_or_default());
            Ok((store_key(&key).ok_or(StoreError::KeyFile)?, KeyPlace::File))
        }
        (Some("v1"), Some("keychain"), Some(account), None) => {
            if keychain == Keychain::Off {
                return Err(StoreError::KeychainOff.into());
            }
            let key = platform::get(account).ok_or(StoreError::Keychain)?;
            Ok((store_key(&key).ok_or(StoreError::Keychain)?, KeyPlace::Keychain))
        }
        _ => Err(StoreError::KeyFile.into()),
    }
}

/// Makes a key; none when there is one by now, made by an attempt that was given up while it waited
/// for the keychain.
fn make(folder: &Path, keychain: Keychain) -> Result<Option<(StoreKey, KeyPlace)>, StoreError> {
    let mut rng = clock::rng().map_err(|_| StoreError::KeyFile)?;
    let mut key: StoreKey = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *key);
    let mut account = [0; 16];
    rng.fill_bytes(&mut account);
    let account = BASE64URL_NOPAD.encode(&account);
    let (place, line) = if keychain == Keychain::Auto && platform::set(&account, &*key) {
        (KeyPlace::Keychain, format!("v1 keychain {account}\n"))
    } else {
        (KeyPlace::File, format!("v1 file {}\n", BASE64URL_NOPAD.encode(&*key)))
    };
    let made = write_durably(folder, &account, &Zeroizing::new(line))?;
    Ok(made.then_some((key, place)))
}

/// Writes the file under a name of its own first, so that it is there whole or not at all; and never in
/// another one's place. Whether it is there now.
fn write_durably(folder: &Path, name: &str, line: &str) -> Result<bool, StoreError> {
    let (path, fresh) = (path(folder), folder.join(format!("{FILE}.{name}")));
    let write = || {
        let mut file = private_file(&fresh)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        // Unlike a renaming, this fails when there is such a file.
        match fs::hard_link(&fresh, &path) {
            // Some file systems have no links.
            Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => {
                fs::rename(&fresh, &path)
            }
            linked => linked,
        }
    };
    let written = write();
    let _ = fs::remove_file(&fresh);
    match written {
        Ok(()) => {
            sync_folder(folder).map_err(|error| StoreError::Io(path, error))?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StoreError::Io(path, error)),
    }
}

/// Makes the key unreadable, wherever it is: what it has sealed is of no use then.
pub(crate) fn forget(folder: &Path, keychain: Keychain) -> Result<(), Error> {
    let path = path(folder);
    let io = |error| StoreError::Io(path.clone(), error);
    let text = match fs::read(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error).into()),
    };
    if let Some(account) = text.strip_prefix(b"v1 keychain ") {
        if keychain == Keychain::Off {
            return Err(StoreError::KeychainOff.into());
        }
        let account = String::from_utf8_lossy(account);
        if !platform::delete(account.trim()) {
            return Err(StoreError::Keychain.into());
        }
    }
    overwrite(&path, text.len()).and_then(|()| fs::remove_file(&path)).map_err(io)?;
    Ok(())
}

/// As far as the file system lets anybody overwrite something.
fn overwrite(path: &Path, len: usize) -> std::io::Result<()> {
    let mut file = private_file(path)?;
    file.write_all(&vec![b'0'; len])?;
    file.sync_all()
}

fn store_key(bytes: &[u8]) -> Option<StoreKey> {
    Some(Zeroizing::new(bytes.try_into().ok()?))
}

#[cfg(feature = "keychain")]
mod platform {
    use zeroize::Zeroizing;

    use super::SERVICE;

    /// Stores a key, and reads it back: a keychain that forgets is none. Whether that worked.
    pub(super) fn set(account: &str, key: &[u8]) -> bool {
        let stored = keyring::Entry::new(SERVICE, account).and_then(|entry| entry.set_secret(key));
        if let Err(error) = stored {
            tracing::debug!(%error, "no keychain");
            return false;
        }
        get(account).is_some_and(|found| *found == key)
    }

    pub(super) fn get(account: &str) -> Option<Zeroizing<Vec<u8>>> {
        match keyring::Entry::new(SERVICE, account).and_then(|entry| entry.get_secret()) {
            Ok(key) => Some(Zeroizing::new(key)),
            Err(error) => {
                tracing::debug!(%error, "the keychain does not give the key");
                None
            }
        }
    }

    /// Whether there is no such key any more.
    pub(super) fn delete(account: &str) -> bool {
        match keyring::Entry::new(SERVICE, account).and_then(|entry| entry.delete_credential()) {
            Ok(()) | Err(keyring::Error::NoEntry) => true,
            Err(error) => {
                tracing::debug!(%error, "the keychain does not delete the key");
                false
            }
        }
    }
}

#[cfg(not(feature = "keychain"))]
mod platform {
    use zeroize::Zeroizing;

    pub(super) fn set(_account: &str, _key: &[u8]) -> bool {
        false
    }

    pub(super) fn get(_account: &str) -> Option<Zeroizing<Vec<u8>>> {
        None
    }

    pub(super) fn delete(_account: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_file_comes_back_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let (key, place) = load(folder.path(), Keychain::Off, true).unwrap();
        assert_eq!(place, KeyPlace::File);
        assert_eq!(load(folder.path(), Keychain::Auto, false).unwrap(), (key, KeyPlace::File));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = folder.path().join(FILE);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            load(folder.path(), Keychain::Off, false).unwrap();
            let mode = folder.path().join(FILE).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_comes_late_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let first = load(folder.path(), Keychain::Off, true).unwrap();
        // As an attempt goes on that began when there was no key.
        assert_eq!(make(folder.path(), Keychain::Off).unwrap(), None);
        assert_eq!(load(folder.path(), Keychain::Off, true).unwrap(), first);
    }

    #[test]
    fn a_store_without_its_key_gets_no_other() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(store::path(folder.path()), "rows").unwrap();
        let refused = load(folder.path(), Keychain::Off, true);
        assert!(matches!(refused, Err(Error::Store(error)) if matches!(*error, StoreError::KeyFile)));
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn a_forgotten_key_is_gone_unless_the_keychain_still_has_it() {
        let folder = tempfile::tempdir().unwrap();
        load(folder.path(), Keychain::Off, true).unwrap();
        forget(folder.path(), Keychain::Off).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        forget(folder.path(), Keychain::Off).unwrap();
        fs::write(folder.path().join(FILE), "v1 keychain some-account\n").unwrap();
        let refused = forget(folder.path(), Keychain::Off);
        assert!(matches!(refused, Err(Error::Store(error)) if matches!(*error, StoreError::KeychainOff)));
        assert!(folder.path().join(FILE).exists());
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path(), Keychain::Off, false).is_err());
        for text in ["", "v1 file short\n", "v2 file AAAA\n", "v1 keychain some-account\n"] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert!(load(folder.path(), Keychain::Off, true).is_err(), "{text}");
            assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), text);
        }
    }
}
