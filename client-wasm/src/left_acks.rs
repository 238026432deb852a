//! Results of pushes that another tab made, or this one before it handed the lead on and got it back:
//! rows of this crate's own, left for whoever waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_engine::Change;
use sync_types::{BlobId, Cursor, ErrorCode, UnixMs};
use zeroize::Zeroizing;

use crate::request::Outcome;
use crate::store::Rows;

/// First byte of the rows' keys; the blob id follows.
const PREFIX: u8 = 0x81;
/// Who has not asked after this long does not wait any more.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A row with a result: when it was left, and the cursor or the code.
pub(crate) fn leave(now: UnixMs, blob_id: BlobId, result: Result<Cursor, ErrorCode>) -> Change {
    let (acked, number) = match result {
        Ok(cursor) => (1, cursor.get()),
        Err(code) => (0, u64::from(code.as_u16())),
    };
    let mut value = now.0.to_be_bytes().to_vec();
    value.push(acked);
    value.extend_from_slice(&number.to_be_bytes());
    Change { key: key(blob_id), value: Some(Zeroizing::new(value)) }
}

/// The results that are known of these pushes.
pub(crate) fn find(rows: &Rows, wanted: &[BlobId]) -> Vec<Outcome> {
    let found = |blob_id: &BlobId| Some((*blob_id, read(rows.get(&key(*blob_id))?)?.1));
    wanted.iter().filter_map(found).collect()
}

/// Drops what nobody waits for any more; gives the rows to delete.
pub(crate) fn expire(now: UnixMs, rows: &mut BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>) -> Vec<Change> {
    let is_old = |key: &Vec<u8>, value: &Zeroizing<Vec<u8>>| {
        key.first() == Some(&PREFIX) && read(value).is_none_or(|(left_at, _)| left_at.plus(KEPT) < now)
    };
    let old: Vec<_> = rows.extract_if(.., |key, value| is_old(key, value)).collect();
    old.into_iter().map(|(key, _)| Change { key, value: None }).collect()
}

fn key(blob_id: BlobId) -> Vec<u8> {
    [&[PREFIX][..], &blob_id.0].concat()
}

fn read(value: &[u8]) -> Option<(UnixMs, Result<Cursor, ErrorCode>)> {
    let (left_at, rest) = value.split_first_chunk::<8>()?;
    let (acked, number) = rest.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let result = if *acked == 1 {
        Ok(Cursor::new(number)?)
    } else {
        Err(ErrorCode::from_u16(u16::try_from(number).ok()?)?)
    };
    Some((UnixMs(u64::from_be_bytes(*left_at)), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_900_000_000_000);

    #[test]
    fn results_are_found_and_old_ones_go() {
        let (acked, refused, old) = (BlobId([1; 16]), BlobId([2; 16]), BlobId([3; 16]));
        let seven = Cursor::new(7).unwrap();
        let mut rows = Rows::new();
        for change in [
            leave(NOW, acked, Ok(seven)),
            leave(NOW, refused, Err(ErrorCode::Conflict)),
            leave(UnixMs(0), old, Ok(seven)),
        ] {
            rows.insert(change.key, change.value.unwrap());
        }
        rows.insert(vec![0x80], Zeroizing::new(Vec::new()));
        let expired = expire(NOW, &mut rows);
        assert_eq!((expired.len(), rows.len()), (1, 3));
        let all = [acked, refused, old, BlobId([4; 16])];
        assert_eq!(find(&rows, &all), [(acked, Ok(seven)), (refused, Err(ErrorCode::Conflict))]);
    }
}
