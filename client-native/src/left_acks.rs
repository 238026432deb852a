//! What became of pushes that one process made and another one saw acknowledged, since they take turns:
//! rows of this crate's own, left for whoever waits for them.

use std::time::Duration;

use sync_engine::Change;
use sync_types::{BlobId, Cursor, ErrorCode, UnixMs};
use zeroize::Zeroizing;

use crate::driver::OwnRows;

/// First byte of the rows' keys; the blob id follows.
const PREFIX: u8 = 0x81;
/// What a row says.
const REFUSED: u8 = 0;
const ACKED: u8 = 1;
const RENAMED: u8 = 2;
/// Who has not asked after this long does not wait any more.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What was found, and the rows to delete.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) acks: Vec<(BlobId, Result<Cursor, ErrorCode>)>,
    pub(crate) deletions: Vec<Change>,
}

/// What a row says of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Settled(Result<Cursor, ErrorCode>),
    /// It has another id from now on.
    Renamed(BlobId),
}

/// A row with a result.
pub(crate) fn leave(blob_id: BlobId, result: Result<Cursor, ErrorCode>, now: UnixMs) -> Change {
    row(blob_id, Left::Settled(result), now)
}

/// A row that leads from one id to another.
pub(crate) fn rename(from: BlobId, to: BlobId, now: UnixMs) -> Change {
    row(from, Left::Renamed(to), now)
}

/// Passes on the new ids of pushes, in their order; `renamed` says whether it waits for the old id.
pub(crate) fn follow(rows: &mut OwnRows, mut renamed: impl FnMut(BlobId, BlobId) -> bool) -> Vec<Change> {
    let mut deletions = Vec::new();
    loop {
        let before = deletions.len();
        rows.retain(|key, value| match (blob_id_of(key), read(value)) {
            (Some(from), Some((_, Left::Renamed(to)))) if renamed(from, to) => {
                deletions.push(Change { key: key.clone(), value: None });
                false
            }
            _ => true,
        });
        // One that was renamed twice leads on to a row that came before.
        if deletions.len() == before {
            return deletions;
        }
    }
}

/// Takes the results of the pushes that are `wanted`, and drops what is old.
pub(crate) fn take(rows: &mut OwnRows, now: UnixMs, wanted: impl Fn(&BlobId) -> bool) -> Found {
    let mut found = Found::default();
    rows.retain(|key, value| {
        if key.first() != Some(&PREFIX) {
            return true;
        }
        let keep = match (blob_id_of(key), read(value)) {
            (Some(blob_id), Some((_, Left::Settled(result)))) if wanted(&blob_id) => {
                found.acks.push((blob_id, result));
                false
            }
            (Some(_), Some((left_at, _))) => now.0.saturating_sub(left_at) < millis(KEPT),
            _ => false,
        };
        if !keep {
            found.deletions.push(Change { key: key.clone(), value: None });
        }
        keep
    });
    found
}

/// When it was left, which kind it is, and the cursor, the code or the id.
fn row(blob_id: BlobId, left: Left, now: UnixMs) -> Change {
    let mut value = now.0.to_be_bytes().to_vec();
    match left {
        Left::Settled(Err(code)) => {
            value.push(REFUSED);
            value.extend_from_slice(&u64::from(code.as_u16()).to_be_bytes());
        }
        Left::Settled(Ok(cursor)) => {
            value.push(ACKED);
            value.extend_from_slice(&cursor.get().to_be_bytes());
        }
        Left::Renamed(to) => {
            value.push(RENAMED);
            value.extend_from_slice(&to.0);
        }
    }
    Change { key: [&[PREFIX][..], &blob_id.0].concat(), value: Some(Zeroizing::new(value)) }
}

fn blob_id_of(key: &[u8]) -> Option<BlobId> {
    BlobId::from_slice(key.strip_prefix(&[PREFIX])?)
}

fn read(value: &[u8]) -> Option<(u64, Left)> {
    let (left_at, rest) = value.split_first_chunk::<8>()?;
    let (kind, rest) = rest.split_first()?;
    let number = || rest.try_into().ok().map(u64::from_be_bytes);
    let left = match *kind {
        ACKED => Left::Settled(Ok(Cursor::new(number()?)?)),
        REFUSED => Left::Settled(Err(ErrorCode::from_u16(u16::try_from(number()?).ok()?)?)),
        RENAMED => Left::Renamed(BlobId::from_slice(rest)?),
        _ => return None,
    };
    Some((u64::from_be_bytes(*left_at), left))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    #[test]
    fn results_are_found_once_and_old_ones_go() {
        let (acked, refused, strange) = (BlobId([1; 16]), BlobId([2; 16]), BlobId([3; 16]));
        let old = leave(BlobId([4; 16]), Ok(Cursor::ZERO), UnixMs(0));
        let mut rows = OwnRows::new();
        for change in [
            leave(acked, Ok(Cursor::new(7).unwrap()), NOW),
            leave(refused, Err(ErrorCode::Conflict), NOW),
            leave(strange, Ok(Cursor::ZERO), NOW),
            old,
        ] {
            rows.insert(change.key, change.value.unwrap());
        }
        rows.insert(vec![0x80], Zeroizing::new(Vec::new()));
        let found = take(&mut rows, NOW, |blob_id| [acked, refused].contains(blob_id));
        assert_eq!(found.acks, [(acked, Ok(Cursor::new(7).unwrap())), (refused, Err(ErrorCode::Conflict))]);
        assert_eq!((found.deletions.len(), rows.len()), (3, 2));
        assert!(take(&mut rows, NOW, |blob_id| [acked, refused].contains(blob_id)).deletions.is_empty());
    }

    #[test]
    fn a_push_is_found_under_its_newest_id() {
        let [first, second, third, strange] = [9, 1, 5, 7].map(|n| BlobId([n; 16]));
        let mut rows = OwnRows::new();
        for change in [
            rename(first, second, NOW),
            rename(second, third, NOW),
            rename(strange, first, NOW),
            leave(third, Ok(Cursor::new(7).unwrap()), NOW),
        ] {
            rows.insert(change.key, change.value.unwrap());
        }
        let mut waits_for = first;
        let deletions = follow(&mut rows, |from, to| {
            let mine = from == waits_for;
            waits_for = if mine { to } else { waits_for };
            mine
        });
        assert_eq!((waits_for, deletions.len(), rows.len()), (third, 2, 2));
        assert_eq!(take(&mut rows, NOW, |blob_id| *blob_id == third).acks.len(), 1);
    }
}
