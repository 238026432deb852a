//! What sessions decrypt, written down. Only in builds for the test that looks for secrets in it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

static RECORD: OnceLock<Mutex<File>> = OnceLock::new();

/// Begins a record in a new file: one envelope a line, in hexadecimal digits.
///
/// # Errors
/// When the file cannot be made.
pub fn start(path: &Path) -> io::Result<()> {
    let file = File::create_new(path)?;
    RECORD.set(Mutex::new(file)).map_err(|_| io::ErrorKind::AlreadyExists.into())
}

pub(crate) fn write(envelopes: &[Vec<u8>]) {
    let Some(record) = RECORD.get() else { return };
    let mut file = record.lock().unwrap_or_else(PoisonError::into_inner);
    for envelope in envelopes {
        if let Err(error) = writeln!(file, "{}", data_encoding::HEXLOWER.encode(envelope)) {
            tracing::error!(%error, "the record cannot be written");
        }
    }
}
