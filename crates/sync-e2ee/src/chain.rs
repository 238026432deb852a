//! How blobs refer to each other, so that a relay cannot drop, change, move or repeat one unnoticed.
//!
//! A *chain* is one sender's: each blob names the one before it. A *head* is a reader's: it names
//! everything that the reader was shown, up to a cursor. A *cut* is a group's: after a rotation the
//! blobs of the epoch before count only up to the rotation's tips, whenever a relay shows them.

use core::cmp::Ordering;

use sha2::{Digest, Sha256};
use sync_types::{BlobHash, BlobId, ChainId, Cursor, DeviceId, GroupId, StoreId};

use crate::content::{Content, Kind, Place};
use crate::roster::Tip;

/// The head of an empty log: SHA-256("sync-relay head v1" ‖ group id ‖ store id).
pub fn first_head(group_id: &GroupId, store_id: &StoreId) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"sync-relay head v1")
        .chain_update(group_id.0)
        .chain_update(store_id.0)
        .finalize()
        .into()
}

/// The head at a cursor, from the one before it:
/// SHA-256(head ‖ u64be(cursor) ‖ blob id ‖ sender ‖ SHA-256(payload)). A rotation is folded in like a
/// sealed blob, a stub by the hash that is left of it.
pub fn next_head(
    head: &[u8; 32],
    cursor: Cursor,
    blob_id: &BlobId,
    sender: &DeviceId,
    hash: &BlobHash,
) -> [u8; 32] {
    Sha256::new()
        .chain_update(head)
        .chain_update(cursor.get().to_be_bytes())
        .chain_update(blob_id.0)
        .chain_update(sender.as_bytes())
        .chain_update(hash.0)
        .finalize()
        .into()
}

/// What the chain's next blob refers to as the one before it: the hash of this one, or, when this is a
/// void blob, the hash of the blob whose place it holds. Tips have it, too.
pub fn link_hash(content: &Content, hash: BlobHash) -> BlobHash {
    match (content.kind, content.body.as_slice().try_into()) {
        (Kind::Void, Ok(held)) => BlobHash(held),
        (Kind::Void | Kind::Data | Kind::Control, _) => hash,
    }
}

/// What a blob is to its chain, as far as the chain is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next one.
    Next,
    /// It names another blob before it than the one that is known, or stands in that one's place.
    Altered,
    /// Further on: places between are missing.
    Gap,
    /// The newest that is known once more, or in a place before it.
    Known,
}

/// Compares a blob with the newest that is known of its chain. `link` is the blob's [`link_hash`].
pub fn step(newest: Option<&Tip>, place: &Place, link: &BlobHash) -> Step {
    let Some(tip) = newest else {
        return match place.seq {
            0 if place.prev == BlobHash([0; 32]) => Step::Next,
            0 => Step::Altered,
            _ => Step::Gap,
        };
    };
    match place.seq.cmp(&tip.seq) {
        Ordering::Less => Step::Known,
        Ordering::Equal if *link == tip.hash => Step::Known,
        Ordering::Equal => Step::Altered,
        Ordering::Greater if place.seq - tip.seq > 1 => Step::Gap,
        Ordering::Greater if place.prev == tip.hash => Step::Next,
        Ordering::Greater => Step::Altered,
    }
}

/// Whether a blob of a closed epoch counts: its chain is among its sender's tips, it does not stand
/// after the tip, and in the tip's own place it is the very same blob. `link` is its [`link_hash`].
pub fn counts(tips: &[Tip], chain_id: &ChainId, seq: u64, link: &BlobHash) -> bool {
    tips.iter()
        .find(|tip| tip.chain_id == *chain_id)
        .is_some_and(|tip| seq < tip.seq || (seq == tip.seq && *link == tip.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> BlobHash {
        BlobHash([n; 32])
    }

    fn tip(chain: u8, seq: u64) -> Tip {
        Tip { chain_id: ChainId([chain; 16]), seq, hash: hash(9) }
    }

    fn place(seq: u64, prev: u8) -> Place {
        Place { seq, prev: hash(prev), ..Place::first(ChainId([1; 16])) }
    }

    #[test]
    fn a_head_names_everything_that_was_shown_and_where() {
        let first = first_head(&GroupId([1; 32]), &StoreId([2; 16]));
        assert_ne!(first, first_head(&GroupId([1; 32]), &StoreId([3; 16])));
        let sender = |n| DeviceId::from_bytes([n; 32]).unwrap();
        let at = |cursor, blob, from, content| {
            let cursor = Cursor::new(cursor).unwrap();
            next_head(&first, cursor, &BlobId([blob; 16]), &sender(from), &hash(content))
        };
        let head = at(1, 4, 5, 6);
        assert_eq!(head, at(1, 4, 5, 6));
        for other in [at(2, 4, 5, 6), at(1, 7, 5, 6), at(1, 4, 7, 6), at(1, 4, 5, 7)] {
            assert_ne!(head, other);
        }
    }

    #[test]
    fn a_chain_starts_with_zeros_and_goes_on_by_hashes() {
        let tips = [tip(1, 3), tip(1, u64::MAX)];
        let step = |newest, seq, prev| step(newest, &place(seq, prev), &hash(5));
        assert_eq!(step(None, 0, 0), Step::Next);
        assert_eq!(step(None, 0, 9), Step::Altered);
        assert_eq!(step(None, 1, 9), Step::Gap);
        assert_eq!(step(Some(&tips[0]), 4, 9), Step::Next);
        assert_eq!(step(Some(&tips[0]), 4, 8), Step::Altered);
        assert_eq!(step(Some(&tips[0]), 5, 9), Step::Gap);
        assert_eq!(step(Some(&tips[1]), 0, 9), Step::Known);
    }

    #[test]
    fn in_the_newest_ones_place_is_that_one_again_or_another() {
        let again = |link| step(Some(&tip(1, 3)), &place(3, 8), &hash(link));
        assert_eq!(again(9), Step::Known);
        assert_eq!(again(5), Step::Altered);
    }

    #[test]
    fn a_void_blob_stands_for_the_one_whose_place_it_holds() {
        let content = |kind, body: &[u8]| Content { kind, place: place(0, 0), body: body.to_vec() };
        assert_eq!(link_hash(&content(Kind::Void, &[7; 32]), hash(1)), hash(7));
        assert_eq!(link_hash(&content(Kind::Void, b"no hash"), hash(1)), hash(1));
        assert_eq!(link_hash(&content(Kind::Data, &[7; 32]), hash(1)), hash(1));
    }

    #[test]
    fn an_epoch_is_cut_at_its_tips() {
        let tips = [tip(1, 3), tip(2, 0)];
        let counts = |chain, seq, link| counts(&tips, &ChainId([chain; 16]), seq, &hash(link));
        assert!(counts(1, 2, 8) && counts(1, 3, 9) && counts(2, 0, 9));
        assert!(!counts(1, 3, 8), "another blob in the tip's place");
        assert!(!counts(1, 4, 9), "after the tip");
        assert!(!counts(3, 0, 9), "a chain without a tip");
    }
}
