//! Results of pushes that one process made and another one saw acknowledged, since they take turns:
//! rows of this crate's own, left for whoever waits for them.

use std::time::Duration;

use sync_engine::Change;
use sync_types::{BlobId, Cursor, ErrorCode};
use zeroize::Zeroizing;

use crate::clock::unix_now;
use crate::driver::OwnRows;

/// First byte of the rows' keys; the blob id follows.
const PREFIX: u8 = 0x81;
/// Who has not asked after this long does not wait any more.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What was found, and the rows to delete.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) acks: Vec<(BlobId, Result<Cursor, ErrorCode>)>,
    pub(crate) deletions: Vec<Change>,
}

/// A row with a result: when it was left, and the cursor or the code.
pub(crate) fn leave(blob_id: BlobId, result: Result<Cursor, ErrorCode>) -> Change {
    let (acked, number) = match result {
        Ok(cursor) => (1, cursor.get()),
        Err(code) => (0, u64::from(code.as_u16())),
    };
    let mut value = unix_now().0.to_be_bytes().to_vec();
    value.push(acked);
    value.extend_from_slice(&number.to_be_bytes());
    Change { key: [&[PREFIX][..], &blob_id.0].concat(), value: Some(Zeroizing::new(value)) }
}

/// Takes the results of the pushes that are `wanted`, and drops what is old.
pub(crate) fn take(rows: &mut OwnRows, wanted: impl Fn(&BlobId) -> bool) -> Found {
    let mut found = Found::default();
    let now = unix_now();
    rows.retain(|key, value| {
        if key.first() != Some(&PREFIX) {
            return true;
        }
        let keep = match (BlobId::from_slice(&key[1..]), read(value)) {
            (Some(blob_id), Some((_, result))) if wanted(&blob_id) => {
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

fn read(value: &[u8]) -> Option<(u64, Result<Cursor, ErrorCode>)> {
    let (left_at, rest) = value.split_first_chunk::<8>()?;
    let (acked, number) = rest.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let result = if *acked == 1 {
        Ok(Cursor::new(number)?)
    } else {
        Err(ErrorCode::from_u16(u16::try_from(number).ok()?)?)
    };
    Some((u64::from_be_bytes(*left_at), result))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_once_and_old_ones_go() {
        let (acked, refused, strange) = (BlobId([1; 16]), BlobId([2; 16]), BlobId([3; 16]));
        let old = Change {
            value: Some(Zeroizing::new([0; 17].to_vec())),
            ..leave(BlobId([4; 16]), Ok(Cursor::ZERO))
        };
        let mut rows = OwnRows::new();
        for change in [
            leave(acked, Ok(Cursor::new(7).unwrap())),
            leave(refused, Err(ErrorCode::Conflict)),
            leave(strange, Ok(Cursor::ZERO)),
            old,
        ] {
            rows.insert(change.key, change.value.unwrap());
        }
        rows.insert(vec![0x80], Zeroizing::new(Vec::new()));
        let found = take(&mut rows, |blob_id| *blob_id != strange);
        assert_eq!(found.acks, [(acked, Ok(Cursor::new(7).unwrap())), (refused, Err(ErrorCode::Conflict))]);
        assert_eq!((found.deletions.len(), rows.len()), (3, 2));
        assert!(take(&mut rows, |blob_id| *blob_id != strange).deletions.is_empty());
    }
}
