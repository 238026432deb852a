//! Blobs on stdout, or in files: as text where they are text.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::{Value, json};
use sync_client::Blob;

use crate::output;

/// Where blobs go.
#[derive(Debug)]
pub(crate) struct Sink {
    form: Form,
    folder: Option<PathBuf>,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One object with a list of them.
    JsonList {
        /// What stands before the next blob: the object's beginning, or a comma.
        before: &'static str,
    },
    /// One object a line.
    JsonLines,
}

impl Form {
    /// How an object with a list begins.
    const LIST: &str = "{\"blobs\":[";

    pub(crate) fn list() -> Self {
        Self::JsonList { before: Self::LIST }
    }
}

impl Sink {
    pub(crate) fn new(form: Form, folder: Option<&Path>) -> io::Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { form, folder: folder.map(Path::to_owned) })
    }

    /// Writes blobs so that they survive the end of this process; then they may be acknowledged.
    pub(crate) fn write(&mut self, blobs: &[Blob]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for blob in blobs {
            let file = self.folder.as_ref().map(|folder| save(folder, blob)).transpose()?;
            match &mut self.form {
                Form::Text => writeln!(out, "{}", line(blob, file.as_deref()))?,
                Form::JsonLines => writeln!(out, "{}", object(blob, file.as_deref()))?,
                Form::JsonList { before } => {
                    write!(out, "{before}{}", object(blob, file.as_deref()))?;
                    *before = ",";
                }
            }
        }
        out.flush()
    }

    /// Ends a list.
    pub(crate) fn finish(&self, max_cursor: u64, has_more: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Form::JsonList { before } = self.form {
            let begin = if before == Form::LIST { before } else { "" };
            writeln!(out, "{begin}],\"max_cursor\":{max_cursor},\"has_more\":{has_more}}}")?;
        }
        out.flush()
    }

    /// Whether a list has blobs and no end.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.form, Form::JsonList { before } if before != Form::LIST)
    }
}

fn text(blob: &Blob) -> Option<&str> {
    std::str::from_utf8(&blob.data).ok().filter(|text| !text.contains('\0'))
}

/// Writes a blob to a file named by its cursor, durably.
fn save(folder: &Path, blob: &Blob) -> io::Result<PathBuf> {
    let kind = if text(blob).is_some() { "txt" } else { "bin" };
    let path = folder.join(format!("{}.{kind}", blob.cursor));
    let mut file = File::create(&path)?;
    file.write_all(&blob.data)?;
    file.sync_all()?;
    Ok(path)
}

fn line(blob: &Blob, file: Option<&Path>) -> String {
    let cursor = blob.cursor;
    if let Some(file) = file {
        return format!("{cursor}\t{}", file.display());
    }
    match text(blob) {
        Some(text) if output::is_terminal() => format!("{cursor}\t{}", output::harmless(text)),
        Some(text) => format!("{cursor}\t{text}"),
        None => format!(
            "{cursor}\t({} bytes that are no text; save them with: pull --after-cursor {} --limit 1 --output DIR)",
            blob.data.len(),
            cursor.prev()
        ),
    }
}

fn object(blob: &Blob, file: Option<&Path>) -> Value {
    let mut object = json!({
        "blob_id": blob.blob_id.to_string(),
        "cursor": blob.cursor.get(),
        "sender": blob.sender.to_string(),
        "timestamp": blob.timestamp.0,
    });
    let (name, value) = match (file, text(blob)) {
        (Some(file), _) => ("file", file.display().to_string()),
        (None, Some(text)) => ("text", text.to_owned()),
        (None, None) => ("data_base64", BASE64.encode(&blob.data)),
    };
    object[name] = Value::String(value);
    object
}
