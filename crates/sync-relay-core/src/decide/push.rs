//! What becomes of pushed blobs.

use std::collections::HashMap;

use sync_types::{BlobHash, BlobId, Cursor, Epoch, UnixMs};

use super::device::{Standing, may_write};
use crate::policy::{Policy, StoredBytes};
use crate::store::{NewBlob, Placed, PushOp, Refusal};

/// What the store has about a push.
#[derive(Debug, Clone, Copy)]
pub struct PushFacts {
    /// The group's newest epoch.
    pub epoch: Epoch,
    /// The group's newest cursor; counts on after the blobs are gone.
    pub max_cursor: Cursor,
    /// What there is of the group.
    pub stored: StoredBytes,
    /// How the sender stands; `None`: the group does not know it.
    pub sender: Option<Standing>,
    /// Bytes that the whole store has in use.
    pub used_bytes: u64,
}

/// A blob that the store has under an id of the push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its place.
    pub cursor: Cursor,
    /// Its hash.
    pub hash: BlobHash,
    /// When it was stored.
    pub stored_at: UnixMs,
}

/// What to do about a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushPlan {
    /// Where every blob of the push stands, or will stand. Those that are `fresh` are to be stored,
    /// once each: a blob that a push holds twice is fresh the first time only.
    pub placed: Vec<Placed>,
    /// The group's newest cursor afterwards.
    pub max_cursor: Cursor,
    /// Bytes that the group gains.
    pub added: u64,
    /// Bytes that must be made free first: of stubs, the oldest first; then of blobs that may expire and
    /// that every device has acknowledged, the oldest first. If that is not possible:
    /// [`Refusal::GroupFull`].
    pub make_room: u64,
}

/// Decides about a push. That a blob is there already comes before every other rule, so that a retry
/// is always safe.
pub fn plan_push(
    policy: &Policy,
    facts: Option<&PushFacts>,
    known: &HashMap<BlobId, Known>,
    op: &PushOp,
) -> Result<PushPlan, Refusal> {
    let facts = facts.ok_or(Refusal::Unknown)?;
    let mut seen = HashMap::with_capacity(op.blobs.len());
    let mut max_cursor = facts.max_cursor;
    let mut added = 0_u64;
    let mut placed = Vec::with_capacity(op.blobs.len());
    for blob in &op.blobs {
        let before = known.get(&blob.blob_id).or_else(|| seen.get(&blob.blob_id));
        let fresh = before.is_none();
        let place = match before {
            Some(before) if before.hash == blob.hash => *before,
            Some(_) => return Err(Refusal::BlobConflict),
            None => {
                max_cursor = max_cursor.next();
                added += NewBlob::cost(blob.payload.len()) as u64;
                let place = Known { cursor: max_cursor, hash: blob.hash, stored_at: op.now };
                seen.insert(blob.blob_id, place);
                place
            }
        };
        placed.push(Placed {
            blob_id: blob.blob_id,
            cursor: place.cursor,
            stored_at: place.stored_at,
            fresh,
        });
    }
    if !seen.is_empty() {
        may_write(facts.sender, op.epoch, facts.epoch)?;
        if facts.used_bytes.saturating_add(added) > policy.max_db_size {
            return Err(Refusal::StoreFull);
        }
        let alone = StoredBytes { group: 0, origin: facts.stored.origin.map(|_| 0) };
        if policy.excess(&alone, added) > 0 {
            return Err(Refusal::GroupFull { held_by: None });
        }
    }
    let make_room = if added == 0 { 0 } else { policy.excess(&facts.stored, added) };
    Ok(PushPlan { placed, max_cursor, added, make_room })
}

#[cfg(test)]
mod tests {
    use sync_types::{DeviceId, GroupId};

    use super::*;
    use crate::store::Payload;

    fn blob(id: u8, bytes: &[u8]) -> NewBlob {
        let payload = Payload::from(bytes.to_vec());
        NewBlob { blob_id: BlobId([id; 16]), hash: payload.hash(), payload, expires_at: None }
    }

    fn push(blobs: Vec<NewBlob>) -> PushOp {
        PushOp {
            group: GroupId([1; 32]),
            device: DeviceId::from_bytes([2; 32]).unwrap(),
            epoch: 1,
            blobs,
            now: UnixMs(77),
        }
    }

    fn facts() -> PushFacts {
        PushFacts {
            epoch: 1,
            max_cursor: Cursor::new(4).unwrap(),
            stored: StoredBytes { group: 290, origin: None },
            sender: Some(Standing::Present),
            used_bytes: 0,
        }
    }

    fn policy() -> Policy {
        Policy { max_group_storage: 300, ..Policy::default() }
    }

    fn has(id: u8, cursor: u64, bytes: &[u8]) -> HashMap<BlobId, Known> {
        let known = Known {
            cursor: Cursor::new(cursor).unwrap(),
            hash: Payload::from(bytes.to_vec()).hash(),
            stored_at: UnixMs(5),
        };
        HashMap::from([(BlobId([id; 16]), known)])
    }

    #[test]
    fn new_blobs_get_the_next_cursors_and_known_ones_their_first() {
        let op = push(vec![blob(1, b"a"), blob(2, b"b"), blob(3, b"c"), blob(1, b"a")]);
        let plan = plan_push(&policy(), Some(&facts()), &has(2, 3, b"b"), &op).unwrap();
        let places: Vec<_> = plan.placed.iter().map(|p| (p.cursor.get(), p.stored_at.0, p.fresh)).collect();
        assert_eq!(places, [(5, 77, true), (3, 5, false), (6, 77, true), (5, 77, false)]);
        assert_eq!((plan.added, plan.max_cursor.get()), (2 * 129, 6));
    }

    #[test]
    fn a_retry_is_answered_whatever_else_has_changed() {
        let op = push(vec![blob(2, b"b")]);
        let stored = StoredBytes { group: 1000, origin: Some(1 << 40) };
        let full = PushFacts { epoch: 9, sender: None, stored, used_bytes: u64::MAX, ..facts() };
        let plan = plan_push(&policy(), Some(&full), &has(2, 3, b"b"), &op).unwrap();
        assert_eq!((plan.placed[0].cursor.get(), plan.added, plan.make_room), (3, 0, 0));
    }

    #[test]
    fn each_rule_refuses_with_its_own_word() {
        let refused = |facts: Option<PushFacts>, op: &PushOp| {
            plan_push(&policy(), facts.as_ref(), &has(2, 3, b"b"), op).unwrap_err()
        };
        let one = push(vec![blob(1, b"a")]);
        assert_eq!(refused(None, &one), Refusal::Unknown);
        let conflict = push(vec![blob(1, b"a"), blob(2, b"other")]);
        assert_eq!(refused(Some(facts()), &conflict), Refusal::BlobConflict);
        let twice = push(vec![blob(1, b"a"), blob(1, b"b")]);
        assert_eq!(refused(Some(facts()), &twice), Refusal::BlobConflict);
        for (sender, refusal) in [
            (None, Refusal::Revoked),
            (Some(Standing::Removed), Refusal::Revoked),
            (Some(Standing::Expired), Refusal::Expired),
        ] {
            assert_eq!(refused(Some(PushFacts { sender, epoch: 2, ..facts() }), &one), refusal);
        }
        let stale = PushFacts { epoch: 2, ..facts() };
        assert_eq!(refused(Some(stale), &one), Refusal::EpochStale);
        let full = PushFacts { used_bytes: 1 << 30, ..facts() };
        assert_eq!(refused(Some(full), &one), Refusal::StoreFull);
        let large = push(vec![blob(1, &[0; 173])]);
        assert_eq!(refused(Some(facts()), &large), Refusal::GroupFull { held_by: None });
    }

    #[test]
    fn a_full_group_is_told_how_much_room_to_make() {
        let op = push(vec![blob(1, &[0; 15])]);
        let plan = plan_push(&policy(), Some(&facts()), &HashMap::new(), &op).unwrap();
        assert_eq!(plan.make_room, 133);
        let crowded = StoredBytes { group: 0, origin: Some(256 << 20) };
        let crowded = PushFacts { stored: crowded, ..facts() };
        let plan = plan_push(&policy(), Some(&crowded), &HashMap::new(), &op).unwrap();
        assert_eq!(plan.make_room, 143, "all groups of its origin count");
        let empty = push((1..=3).map(|id| blob(id, b"")).collect());
        let refused = plan_push(&policy(), Some(&facts()), &HashMap::new(), &empty).unwrap_err();
        assert_eq!(refused, Refusal::GroupFull { held_by: None }, "blobs of nothing take room, too");
    }
}
