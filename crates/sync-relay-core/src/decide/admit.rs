//! Who may come in.

use sync_types::{Cursor, Epoch, KeyLog, StoreId, UnixMs};

use super::device::{DeviceFacts, has_place};
use crate::policy::Policy;
use crate::store::{Admit, Refusal};

/// Most devices that a group remembers as gone, if it is to take another: a member could make and remove them
/// without end.
pub const MAX_GONE_DEVICES: u64 = 1_000;

/// What the store has about a device that wants to come in.
#[derive(Debug, Clone)]
pub struct AdmitFacts {
    /// The store.
    pub store_id: StoreId,
    /// Until when the group is remembered as deleted, if it was.
    pub tombstone: Option<UnixMs>,
    /// The group's key log and newest cursor, if there is such a group.
    pub group: Option<(KeyLog, Cursor)>,
    /// The device, if the group knows it.
    pub device: Option<DeviceFacts>,
    /// How many groups there are. Read only when the group is not there.
    pub groups: u64,
    /// How many of them have the origin that this one would have. Read only then.
    pub origin_groups: u64,
    /// How many devices of the group are present. Read only when the device is not there.
    pub devices: u64,
    /// How many are not. Read only when the device is not there.
    pub gone: u64,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmitPlan {
    /// Make the group first.
    pub new_group: bool,
    /// Keep this key log, which is new or longer.
    pub new_log: Option<KeyLog>,
    /// Make the device.
    pub new_device: bool,
    /// The group's newest epoch, the log kept.
    pub epoch: Epoch,
    /// Where the device's acknowledged cursor should stand.
    pub acked: Cursor,
    /// The highest epoch of which the device is known to be a member.
    pub device_epoch: Epoch,
}

/// Decides whether a device may come in. Its proof, and the log that it brought, were verified before;
/// here they are compared with what the store has by now.
pub fn plan_admit(policy: &Policy, facts: &AdmitFacts, op: &Admit) -> Result<AdmitPlan, Refusal> {
    if facts.tombstone.is_some_and(|until| op.now < until) {
        return Err(Refusal::GroupDeleted);
    }
    let (new_log, epoch) = merge_logs(facts.group.as_ref().map(|(log, _)| log), op.key_log.as_ref())?;
    let new_group = facts.group.is_none();
    if new_group && !op.may_create {
        return Err(Refusal::CreationDenied);
    }
    if new_group && facts.groups >= policy.max_groups {
        return Err(Refusal::TooManyGroups);
    }
    if new_group && op.origin.is_some() && facts.origin_groups >= policy.max_origin_groups() {
        return Err(Refusal::OriginFull);
    }
    if op.epoch > epoch {
        return Err(Refusal::EpochUnknown);
    }
    if let Some(device) = facts.device {
        has_place(Some(device.standing))?;
    }
    // A device that slept through a rotation may come in to fetch it, if the rotation is for it.
    let device_epoch = facts.device.map_or(op.epoch, |device| device.epoch.max(op.epoch));
    if device_epoch < epoch {
        return Err(Refusal::EpochStale);
    }
    let full = facts.devices >= policy.max_devices_per_group || facts.gone >= MAX_GONE_DEVICES;
    if facts.device.is_none() && full {
        return Err(Refusal::TooManyDevices);
    }
    let max_cursor = facts.group.as_ref().map_or(Cursor::ZERO, |(_, max)| *max);
    let before = facts.device.map_or(Cursor::ZERO, |device| device.acked);
    let claimed = if op.store_id == facts.store_id { op.last_cursor } else { Cursor::ZERO };
    Ok(AdmitPlan {
        new_group,
        new_log,
        new_device: facts.device.is_none(),
        epoch,
        acked: acknowledged(before, claimed, max_cursor),
        device_epoch,
    })
}

/// Where an acknowledged cursor stands after another claim: never backwards, never past the newest.
pub fn acknowledged(before: Cursor, claimed: Cursor, max_cursor: Cursor) -> Cursor {
    before.max(claimed.min(max_cursor))
}

/// The log to keep, if it is another than the stored one, and the newest epoch.
fn merge_logs(stored: Option<&KeyLog>, brought: Option<&KeyLog>) -> Result<(Option<KeyLog>, Epoch), Refusal> {
    match (stored, brought) {
        (None, None) => Err(Refusal::EpochUnknown),
        (None, Some(brought)) => Ok((Some(brought.clone()), brought.epoch())),
        (Some(stored), None) => Ok((None, stored.epoch())),
        (Some(stored), Some(brought)) => {
            let shared = stored.links.len().min(brought.links.len());
            if stored.genesis != brought.genesis || stored.links[..shared] != brought.links[..shared] {
                Err(Refusal::KeyLogConflict)
            } else if brought.links.len() > shared {
                Ok((Some(brought.clone()), brought.epoch()))
            } else {
                Ok((None, stored.epoch()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_types::{AuthKey, DeviceId, GroupId, KeyLink, UnixMs};

    use super::super::device::Standing;
    use super::*;
    use crate::store::Origin;

    const STORE: StoreId = StoreId([7; 16]);

    fn log(links: &[u8]) -> KeyLog {
        let mut log = KeyLog::new(AuthKey([1; 32]));
        log.links = links
            .iter()
            .map(|n| KeyLink { auth_key: AuthKey([*n; 32]), content_hash: [0; 32], signature: [0; 64] })
            .collect();
        log
    }

    fn cursor(n: u64) -> Cursor {
        Cursor::new(n).unwrap()
    }

    fn op() -> Admit {
        Admit {
            group: GroupId([1; 32]),
            device: DeviceId::from_bytes([2; 32]).unwrap(),
            name: vec![],
            epoch: 0,
            key_log: Some(log(&[])),
            last_cursor: cursor(5),
            store_id: STORE,
            may_create: true,
            origin: None,
            now: UnixMs(0),
        }
    }

    fn nothing() -> AdmitFacts {
        AdmitFacts {
            store_id: STORE,
            tombstone: None,
            group: None,
            device: None,
            groups: 0,
            origin_groups: 0,
            devices: 0,
            gone: 0,
        }
    }

    /// A group with these links, and the device as a member of `epoch`.
    fn known(links: &[u8], epoch: Epoch) -> AdmitFacts {
        let device = DeviceFacts { acked: cursor(3), epoch, standing: Standing::Present };
        AdmitFacts { group: Some((log(links), cursor(9))), device: Some(device), ..nothing() }
    }

    fn gone(links: &[u8], epoch: Epoch, standing: Standing) -> AdmitFacts {
        let mut facts = known(links, epoch);
        facts.device = facts.device.map(|device| DeviceFacts { standing, ..device });
        facts
    }

    fn refusal(facts: &AdmitFacts, op: &Admit) -> Refusal {
        plan_admit(&Policy::default(), facts, op).unwrap_err()
    }

    #[test]
    fn the_first_device_makes_the_group_if_it_may() {
        let plan = plan_admit(&Policy::default(), &nothing(), &op()).unwrap();
        assert!(plan.new_group && plan.new_device);
        assert_eq!((plan.epoch, plan.acked), (0, Cursor::ZERO));
        let denied = Admit { may_create: false, ..op() };
        assert_eq!(refusal(&nothing(), &denied), Refusal::CreationDenied);
        let full = AdmitFacts { groups: 1000, ..nothing() };
        assert_eq!(refusal(&full, &op()), Refusal::TooManyGroups);
        let crowded = AdmitFacts { groups: 250, origin_groups: 250, ..nothing() };
        let here = Admit { origin: Some(Origin(7)), ..op() };
        assert_eq!(refusal(&crowded, &here), Refusal::OriginFull);
        assert!(plan_admit(&Policy::default(), &crowded, &op()).is_ok(), "from nowhere in particular");
        let back = AdmitFacts { origin_groups: 250, ..known(&[], 0) };
        assert!(plan_admit(&Policy::default(), &back, &here).is_ok(), "it is there already");
    }

    #[test]
    fn a_last_cursor_counts_only_of_this_store_and_never_past_the_newest() {
        let acked = |op: &Admit| plan_admit(&Policy::default(), &known(&[], 0), op).unwrap().acked.get();
        assert_eq!(acked(&op()), 5);
        assert_eq!(acked(&Admit { store_id: StoreId([8; 16]), ..op() }), 3);
        assert_eq!(acked(&Admit { last_cursor: cursor(100), ..op() }), 9);
        assert_eq!(acked(&Admit { last_cursor: cursor(1), ..op() }), 3);
    }

    #[test]
    fn a_longer_log_replaces_and_a_fork_conflicts() {
        let longer = Admit { key_log: Some(log(&[2, 3])), epoch: 2, ..op() };
        let plan = plan_admit(&Policy::default(), &known(&[2], 1), &longer).unwrap();
        assert_eq!((plan.new_log.map(|l| l.epoch()), plan.epoch, plan.device_epoch), (Some(2), 2, 2));
        let shorter = Admit { key_log: Some(log(&[2])), epoch: 2, ..op() };
        assert_eq!(plan_admit(&Policy::default(), &known(&[2, 3], 1), &shorter).unwrap().new_log, None);
        assert_eq!(refusal(&known(&[4], 1), &longer), Refusal::KeyLogConflict);
    }

    #[test]
    fn an_old_epoch_lets_in_only_whom_the_newest_rotation_is_for() {
        let plan = plan_admit(&Policy::default(), &known(&[2], 1), &op()).unwrap();
        assert_eq!((plan.epoch, plan.device_epoch), (1, 1));
        assert_eq!(refusal(&known(&[2], 0), &op()), Refusal::EpochStale);
        assert_eq!(refusal(&known(&[2, 3], 1), &op()), Refusal::EpochStale);
        let stranger = AdmitFacts { device: None, ..known(&[2], 1) };
        assert_eq!(refusal(&stranger, &op()), Refusal::EpochStale);
        let ahead = Admit { epoch: 2, ..op() };
        assert_eq!(refusal(&known(&[2], 1), &ahead), Refusal::EpochUnknown);
        // Who brings a longer log, but proves only what came before it, changes nothing.
        let behind_its_log = Admit { key_log: Some(log(&[2])), ..op() };
        assert_eq!(refusal(&known(&[], 0), &behind_its_log), Refusal::EpochStale);
    }

    #[test]
    fn a_proof_of_the_newest_epoch_is_remembered() {
        let proven = Admit { epoch: 1, ..op() };
        let plan = plan_admit(&Policy::default(), &known(&[2], 0), &proven).unwrap();
        assert_eq!(plan.device_epoch, 1);
    }

    #[test]
    fn who_is_gone_stays_gone_whatever_it_proves() {
        for epoch in [0, 1] {
            let op = Admit { epoch, ..op() };
            assert_eq!(refusal(&gone(&[2], 1, Standing::Removed), &op), Refusal::Revoked);
            assert_eq!(refusal(&gone(&[2], 0, Standing::Removed), &op), Refusal::Revoked);
            assert_eq!(refusal(&gone(&[2], 1, Standing::Expired), &op), Refusal::Expired);
        }
    }

    #[test]
    fn a_deleted_group_does_not_come_back_before_its_time() {
        let deleted = AdmitFacts { tombstone: Some(UnixMs(100)), ..nothing() };
        assert_eq!(refusal(&deleted, &Admit { now: UnixMs(99), ..op() }), Refusal::GroupDeleted);
        let later = Admit { now: UnixMs(100), ..op() };
        assert!(plan_admit(&Policy::default(), &deleted, &later).unwrap().new_group);
    }

    #[test]
    fn a_group_is_full_for_new_devices_only() {
        let full = AdmitFacts { device: None, devices: 100, ..known(&[], 0) };
        assert_eq!(refusal(&full, &op()), Refusal::TooManyDevices);
        let worn = AdmitFacts { device: None, gone: MAX_GONE_DEVICES, ..known(&[], 0) };
        assert_eq!(refusal(&worn, &op()), Refusal::TooManyDevices);
        let known = AdmitFacts { devices: 100, gone: MAX_GONE_DEVICES, ..known(&[], 0) };
        assert!(plan_admit(&Policy::default(), &known, &op()).is_ok());
    }
}
