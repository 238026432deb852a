//! Who may come in.

use sync_types::{Cursor, Epoch, KeyLog, StoreId};

use crate::policy::Policy;
use crate::store::{Admit, Refusal};

/// What the store has about a device that wants to come in.
#[derive(Debug, Clone)]
pub struct AdmitFacts {
    /// The store.
    pub store_id: StoreId,
    /// The group's key log and newest cursor, if there is such a group.
    pub group: Option<(KeyLog, Cursor)>,
    /// The device, if the group knows it.
    pub device: Option<DeviceFacts>,
    /// How many groups there are. Read only when the group is not there.
    pub groups: u64,
    /// How many devices of the group are not removed. Read only when the device is not there.
    pub devices: u64,
}

/// What the store has about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Up to here everything is its own.
    pub acked: Cursor,
    /// Whether it was removed.
    pub revoked: bool,
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
}

/// Decides whether a device may come in. Its proof, and the log that it brought, were verified before;
/// here they are compared with what the store has by now.
pub fn plan_admit(policy: &Policy, facts: &AdmitFacts, op: &Admit) -> Result<AdmitPlan, Refusal> {
    let (new_log, epoch) = merge_logs(facts.group.as_ref().map(|(log, _)| log), op.key_log.as_ref())?;
    let new_group = facts.group.is_none();
    if new_group && !op.may_create {
        return Err(Refusal::CreationDenied);
    }
    if new_group && facts.groups >= policy.max_groups {
        return Err(Refusal::TooManyGroups);
    }
    if op.epoch > epoch {
        return Err(Refusal::EpochUnknown);
    }
    match facts.device {
        Some(DeviceFacts { revoked: true, .. }) => return Err(Refusal::Revoked),
        // A device that slept through a rotation may come in to fetch it.
        Some(_) => {}
        None if op.epoch < epoch => return Err(Refusal::EpochStale),
        None if facts.devices >= policy.max_devices_per_group => return Err(Refusal::TooManyDevices),
        None => {}
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

    use super::*;

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
            now: UnixMs(0),
        }
    }

    fn nothing() -> AdmitFacts {
        AdmitFacts { store_id: STORE, group: None, device: None, groups: 0, devices: 0 }
    }

    fn known(links: &[u8], revoked: bool) -> AdmitFacts {
        AdmitFacts {
            group: Some((log(links), cursor(9))),
            device: Some(DeviceFacts { acked: cursor(3), revoked }),
            ..nothing()
        }
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
    }

    #[test]
    fn a_last_cursor_counts_only_of_this_store_and_never_past_the_newest() {
        let acked = |op: &Admit| plan_admit(&Policy::default(), &known(&[], false), op).unwrap().acked.get();
        assert_eq!(acked(&op()), 5);
        assert_eq!(acked(&Admit { store_id: StoreId([8; 16]), ..op() }), 3);
        assert_eq!(acked(&Admit { last_cursor: cursor(100), ..op() }), 9);
        assert_eq!(acked(&Admit { last_cursor: cursor(1), ..op() }), 3);
    }

    #[test]
    fn a_longer_log_replaces_and_a_fork_conflicts() {
        let longer = Admit { key_log: Some(log(&[2, 3])), epoch: 2, ..op() };
        let plan = plan_admit(&Policy::default(), &known(&[2], false), &longer).unwrap();
        assert_eq!((plan.new_log.map(|l| l.epoch()), plan.epoch), (Some(2), 2));
        let shorter = Admit { key_log: Some(log(&[2])), epoch: 2, ..op() };
        assert_eq!(plan_admit(&Policy::default(), &known(&[2, 3], false), &shorter).unwrap().new_log, None);
        assert_eq!(refusal(&known(&[4], false), &longer), Refusal::KeyLogConflict);
    }

    #[test]
    fn an_old_epoch_lets_in_only_whom_the_group_already_knows() {
        assert!(plan_admit(&Policy::default(), &known(&[2], false), &op()).is_ok());
        assert_eq!(refusal(&known(&[2], true), &op()), Refusal::Revoked);
        let stranger = AdmitFacts { device: None, ..known(&[2], false) };
        assert_eq!(refusal(&stranger, &op()), Refusal::EpochStale);
        let ahead = Admit { epoch: 2, ..op() };
        assert_eq!(refusal(&known(&[2], false), &ahead), Refusal::EpochUnknown);
    }

    #[test]
    fn a_group_is_full_for_new_devices_only() {
        let full = AdmitFacts { device: None, devices: 100, ..known(&[], false) };
        assert_eq!(refusal(&full, &op()), Refusal::TooManyDevices);
        let known = AdmitFacts { devices: 100, ..known(&[], false) };
        assert!(plan_admit(&Policy::default(), &known, &op()).is_ok());
    }
}
