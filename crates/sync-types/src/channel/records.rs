//! Records: how an envelope longer than a Noise message travels.

use super::ChannelError;
use crate::limits::MAX_RECORD_BODY;

const MORE: u8 = 0;
const LAST: u8 = 1;

/// The records of an envelope; one even for an empty envelope.
pub(super) fn split(envelope: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let count = envelope.len().div_ceil(MAX_RECORD_BODY).max(1);
    (0..count).map(move |i| {
        let start = i * MAX_RECORD_BODY;
        let end = envelope.len().min(start + MAX_RECORD_BODY);
        let mut record = Vec::with_capacity(1 + end - start);
        record.push(if i + 1 == count { LAST } else { MORE });
        record.extend_from_slice(&envelope[start..end]);
        record
    })
}

/// Puts an envelope together from its records, and never holds more than its bound.
///
/// A [`Channel`](super::Channel) has one; by itself it is of use to those who test it.
#[derive(Debug)]
pub struct Assembler {
    buffer: Vec<u8>,
    max: usize,
}

impl Assembler {
    /// Takes envelopes of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), max }
    }

    /// Changes that bound.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Bytes held for an envelope that is not complete yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Takes a record; gives an envelope when this record completes it.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`] past the bound; [`ChannelError::Record`] for a flag that is none, or that
    /// says that more follows though there was room. Nothing is to be added after an error.
    pub fn add(&mut self, mut record: Vec<u8>) -> Result<Option<Vec<u8>>, ChannelError> {
        let flag = *record.first().ok_or(ChannelError::Record)?;
        let body = record.len() - 1;
        if self.buffer.len() + body > self.max {
            return Err(ChannelError::TooLarge);
        }
        match flag {
            LAST if self.buffer.is_empty() => {
                record.remove(0);
                Ok(Some(record))
            }
            LAST => {
                self.buffer.extend_from_slice(&record[1..]);
                Ok(Some(core::mem::take(&mut self.buffer)))
            }
            MORE if body == MAX_RECORD_BODY => {
                self.buffer.extend_from_slice(&record[1..]);
                Ok(None)
            }
            _ => Err(ChannelError::Record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(len: usize) -> usize {
        let envelope: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut assembler = Assembler::new(1 << 20);
        let records: Vec<_> = split(&envelope).collect();
        let (last, before) = records.split_last().unwrap();
        for record in before {
            assert_eq!(assembler.add(record.clone()), Ok(None));
        }
        assert_eq!(assembler.add(last.clone()), Ok(Some(envelope)));
        assert_eq!(assembler.buffered(), 0);
        records.len()
    }

    #[test]
    fn envelopes_of_every_size_come_back_whole() {
        assert_eq!(round(0), 1);
        assert_eq!(round(1), 1);
        assert_eq!(round(MAX_RECORD_BODY), 1);
        assert_eq!(round(MAX_RECORD_BODY + 1), 2);
        assert_eq!(round(5 * MAX_RECORD_BODY), 5);
    }

    #[test]
    fn the_bound_holds_before_the_bytes_are_kept() {
        let mut assembler = Assembler::new(MAX_RECORD_BODY + 10);
        let mut full = vec![MORE];
        full.resize(1 + MAX_RECORD_BODY, 0);
        assert_eq!(assembler.add(full.clone()), Ok(None));
        assert_eq!(assembler.add(full), Err(ChannelError::TooLarge));
        assert_eq!(assembler.buffered(), MAX_RECORD_BODY);
    }

    #[test]
    fn records_that_break_the_flag_are_refused() {
        let mut assembler = Assembler::new(1 << 20);
        assert_eq!(assembler.add(vec![]), Err(ChannelError::Record));
        assert_eq!(assembler.add(vec![2, 0]), Err(ChannelError::Record));
        assert_eq!(assembler.add(vec![MORE]), Err(ChannelError::Record), "not the last, yet not full");
    }
}
