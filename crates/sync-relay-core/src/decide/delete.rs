//! What goes because somebody asked: a blob, a device, a group.

use core::time::Duration;

use sync_types::{Cursor, Epoch, UnixMs};

use super::device::{Standing, has_place, may_write};
use crate::store::{DeleteOp, GroupDeleteOp, Refusal};

/// How long a deleted group is remembered: a device that slept would bring it back.
pub const TOMBSTONE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What the store has about a blob that is to go.
#[derive(Debug, Clone, Copy)]
pub struct DeleteFacts {
    /// The group's newest epoch.
    pub epoch: Epoch,
    /// How the device that asks stands; `None`: it is not there.
    pub asks: Option<Standing>,
    /// The blob, if it is there.
    pub blob: Option<DoomedBlob>,
    /// Up to here every present device has acknowledged; `None`: there is none.
    pub acked: Option<Cursor>,
}

/// A blob that is to go.
#[derive(Debug, Clone, Copy)]
pub struct DoomedBlob {
    /// Its place.
    pub cursor: Cursor,
    /// Whether it is a rotation.
    pub rotation: bool,
}

/// What to do about a blob that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletePlan {
    /// It is not there.
    Nothing,
    /// Erase it.
    Erase,
    /// Mark it: some device lacks it.
    Mark,
}

/// Decides about a blob that is to go. One that is not there is gone: a retry is safe.
pub fn plan_delete(facts: Option<&DeleteFacts>, op: &DeleteOp) -> Result<DeletePlan, Refusal> {
    let facts = facts.ok_or(Refusal::Unknown)?;
    may_write(facts.asks, op.epoch, facts.epoch)?;
    match facts.blob {
        None => Ok(DeletePlan::Nothing),
        Some(DoomedBlob { rotation: true, .. }) => Err(Refusal::RotationStays),
        Some(blob) if everybody_has(blob.cursor, facts.acked) => Ok(DeletePlan::Erase),
        Some(_) => Ok(DeletePlan::Mark),
    }
}

/// Whether every device of a group has a blob, when they have all acknowledged up to `acked`; `None`:
/// the group has no device left.
pub fn everybody_has(cursor: Cursor, acked: Option<Cursor>) -> bool {
    acked.is_none_or(|acked| cursor <= acked)
}

/// Decides whether a device may leave. It may with an old key, too: it takes nothing but itself.
pub fn plan_leave(standing: Option<Standing>) -> Result<(), Refusal> {
    has_place(standing)
}

/// Decides whether a device may erase its group, whose newest epoch and opinion of the device are
/// `group`; gives until when the group is to be remembered.
pub fn plan_group_delete(
    group: Option<(Epoch, Option<Standing>)>,
    op: &GroupDeleteOp,
) -> Result<UnixMs, Refusal> {
    let (newest, standing) = group.ok_or(Refusal::Unknown)?;
    may_write(standing, op.epoch, newest)?;
    Ok(op.now.plus(TOMBSTONE))
}

#[cfg(test)]
mod tests {
    use sync_types::{BlobId, DeviceId, GroupId};

    use super::*;

    const GROUP: GroupId = GroupId([1; 32]);

    fn cursor(n: u64) -> Cursor {
        Cursor::new(n).unwrap()
    }

    fn device() -> DeviceId {
        DeviceId::from_bytes([2; 32]).unwrap()
    }

    fn facts() -> DeleteFacts {
        let blob = Some(DoomedBlob { cursor: cursor(5), rotation: false });
        DeleteFacts { epoch: 1, asks: Some(Standing::Present), blob, acked: Some(cursor(5)) }
    }

    fn plan(facts: DeleteFacts) -> Result<DeletePlan, Refusal> {
        let op =
            DeleteOp { group: GROUP, device: device(), epoch: 1, blob_id: BlobId([3; 16]), now: UnixMs(0) };
        plan_delete(Some(&facts), &op)
    }

    #[test]
    fn a_blob_goes_when_every_device_has_it() {
        assert_eq!(plan(facts()), Ok(DeletePlan::Erase));
        assert_eq!(plan(DeleteFacts { acked: Some(cursor(4)), ..facts() }), Ok(DeletePlan::Mark));
        assert_eq!(plan(DeleteFacts { acked: None, ..facts() }), Ok(DeletePlan::Erase), "nobody is left");
        assert_eq!(plan(DeleteFacts { blob: None, ..facts() }), Ok(DeletePlan::Nothing));
    }

    #[test]
    fn who_may_not_deletes_nothing_and_nobody_deletes_a_rotation() {
        let refused = |facts| plan(facts).unwrap_err();
        let gone = DeleteFacts { blob: None, ..facts() };
        assert_eq!(refused(DeleteFacts { asks: Some(Standing::Removed), ..gone }), Refusal::Revoked);
        assert_eq!(refused(DeleteFacts { asks: Some(Standing::Expired), ..gone }), Refusal::Expired);
        assert_eq!(refused(DeleteFacts { asks: None, ..gone }), Refusal::Revoked);
        assert_eq!(refused(DeleteFacts { epoch: 2, ..gone }), Refusal::EpochStale);
        let rotation = Some(DoomedBlob { cursor: cursor(5), rotation: true });
        assert_eq!(refused(DeleteFacts { blob: rotation, ..facts() }), Refusal::RotationStays);
    }

    #[test]
    fn a_group_is_deleted_by_a_member_of_its_newest_epoch_and_remembered() {
        let op = GroupDeleteOp { group: GROUP, device: device(), epoch: 1, now: UnixMs(5) };
        let present = Some(Standing::Present);
        let ninety_days = UnixMs(5 + 90 * 24 * 60 * 60 * 1000);
        assert_eq!(plan_group_delete(Some((1, present)), &op), Ok(ninety_days));
        assert_eq!(plan_group_delete(Some((2, present)), &op), Err(Refusal::EpochStale));
        assert_eq!(plan_group_delete(Some((1, Some(Standing::Removed))), &op), Err(Refusal::Revoked));
        assert_eq!(plan_group_delete(Some((1, None)), &op), Err(Refusal::Revoked));
        assert_eq!(plan_group_delete(None, &op), Err(Refusal::Unknown));
    }

    #[test]
    fn who_is_gone_cannot_leave_again() {
        assert_eq!(plan_leave(Some(Standing::Present)), Ok(()));
        assert_eq!(plan_leave(Some(Standing::Removed)), Err(Refusal::Revoked));
        assert_eq!(plan_leave(None), Err(Refusal::Revoked));
    }
}
