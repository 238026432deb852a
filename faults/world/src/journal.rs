//! What an app has written down about its own doings: what it was promised, and what it was given.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use sync_client::{BlobId, Cursor};

use crate::item::Item;

/// The end of a whole line. A kill may cut a line anywhere, and what is left must not look like another one.
const END: &str = " .";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The program starts.
    Start,
    /// It is about to push an item.
    Try(u64),
    /// The push returned: the item is durable on this device.
    Queued(u64, BlobId),
    /// The relay has acknowledged it.
    Acked(u64, BlobId, Cursor),
    /// It was given a blob; no item: something that nobody has pushed.
    Took(BlobId, Cursor, Option<Item>),
    /// It has said that it has everything up to here.
    Has(Cursor),
    /// It was told of something that must not be.
    Alarm(String),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |blob: &BlobId| HEXLOWER.encode(&blob.0);
        match self {
            Self::Start => write!(f, "start"),
            Self::Try(number) => write!(f, "try {number}"),
            Self::Queued(number, blob) => write!(f, "queued {number} {}", hex(blob)),
            Self::Acked(number, blob, cursor) => write!(f, "acked {number} {} {}", hex(blob), cursor.get()),
            Self::Took(blob, cursor, Some(item)) => {
                write!(f, "took {} {} {} {}", hex(blob), cursor.get(), item.writer, item.number)
            }
            Self::Took(blob, cursor, None) => write!(f, "took {} {} damaged", hex(blob), cursor.get()),
            Self::Has(cursor) => write!(f, "has {}", cursor.get()),
            Self::Alarm(what) => write!(f, "alarm {}", what.replace('\n', " ")),
        }?;
        f.write_str(END)
    }
}

impl Entry {
    /// A line that was written to its end.
    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_suffix(END)?;
        if let Some(what) = line.strip_prefix("alarm ") {
            return Some(Self::Alarm(what.to_owned()));
        }
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().ok();
        let cursor = |word: &str| Cursor::new(number(word)?);
        let blob = |word: &str| BlobId::from_slice(&HEXLOWER.decode(word.as_bytes()).ok()?);
        Some(match words.as_slice() {
            ["start"] => Self::Start,
            ["try", n] => Self::Try(number(n)?),
            ["queued", n, id] => Self::Queued(number(n)?, blob(id)?),
            ["acked", n, id, at] => Self::Acked(number(n)?, blob(id)?, cursor(at)?),
            ["took", id, at, "damaged"] => Self::Took(blob(id)?, cursor(at)?, None),
            ["took", id, at, writer, n] => {
                let item = Item { writer: writer.parse().ok()?, number: number(n)? };
                Self::Took(blob(id)?, cursor(at)?, Some(item))
            }
            ["has", at] => Self::Has(cursor(at)?),
            _ => return None,
        })
    }
}

/// A journal that its program writes. What was written survives the program's death.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Opens a journal, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if file.metadata()?.len() > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self(file))
    }

    /// Writes entries down, all at once.
    pub fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        self.0.write_all(lines.as_bytes())
    }
}

/// Reads the whole entries of a journal from a place on; gives the place after them. A journal that was not
/// begun is empty.
pub fn read(path: &Path, from: u64) -> io::Result<(Vec<Entry>, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), from)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    Ok((text.lines().filter_map(Entry::parse).collect(), from + whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let (blob, cursor) = (BlobId([7; 16]), Cursor::new(12).unwrap());
        vec![
            Entry::Start,
            Entry::Try(1),
            Entry::Queued(1, blob),
            Entry::Acked(1, blob, cursor),
            Entry::Took(blob, cursor, Some(Item { writer: 2, number: 9 })),
            Entry::Took(blob, cursor, None),
            Entry::Has(cursor),
            Entry::Alarm("RelayReset".to_owned()),
        ]
    }

    #[test]
    fn what_was_written_is_read_and_reading_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(read(&path, 0).unwrap(), (vec![], 0));
        let mut journal = Journal::open(&path).unwrap();
        journal.write(&entries()).unwrap();
        let (found, end) = read(&path, 0).unwrap();
        assert_eq!(found, entries());
        journal.write(&[Entry::Try(2)]).unwrap();
        assert_eq!(read(&path, end).unwrap().0, [Entry::Try(2)]);
    }

    #[test]
    fn no_half_of_a_line_counts_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for entry in entries() {
            let line = entry.to_string();
            for cut in 1..line.len() {
                std::fs::write(&path, &line[..cut]).unwrap();
                Journal::open(&path).unwrap().write(&[Entry::Try(5)]).unwrap();
                assert_eq!(read(&path, 0).unwrap().0, [Entry::Try(5)], "{line} after {cut}");
            }
        }
    }
}
