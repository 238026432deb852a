//! What time takes away.

use core::time::Duration;

use sync_types::{Cursor, DeviceId, UnixMs};

use super::delete::everybody_has;
use super::device::Standing;
use crate::policy::Policy;

/// A relay that has not cleaned up for so long was off, or its clock was wrong.
pub const OUTAGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it then drops nothing for its age: nobody could come to fetch it.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Until when nothing is dropped for its age, when a cleanup begins at `now`. The one before began at
/// `before`, if there was one, and was patient until `patient`.
pub fn patience(before: Option<UnixMs>, patient: UnixMs, now: UnixMs) -> UnixMs {
    match before {
        Some(before) if now < before || now >= before.plus(OUTAGE) => now.plus(PATIENCE),
        Some(_) | None => patient,
    }
}

/// What becomes of a blob that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiredFate {
    /// It goes.
    Gone,
    /// Its payload goes; its place and hash stay, so that who lacks it knows what it was.
    Stub,
}

/// Decides about a blob that has expired, when every present device of its group has acknowledged up to
/// `acked`; `None`: there is none.
pub fn plan_expired(cursor: Cursor, acked: Option<Cursor>) -> ExpiredFate {
    if everybody_has(cursor, acked) { ExpiredFate::Gone } else { ExpiredFate::Stub }
}

/// What the store has about a group that is looked at.
#[derive(Debug, Clone)]
pub struct GroupFacts {
    /// Every device that it knows, and when it was last heard of.
    pub devices: Vec<(DeviceId, Standing, UnixMs)>,
    /// Whether it has any blob.
    pub has_blobs: bool,
}

/// What to do about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupPlan {
    /// Nobody uses it: erase everything of it.
    Dissolve,
    /// It goes on.
    Keep {
        /// Devices that it no longer waits for.
        expired: Vec<DeviceId>,
    },
}

/// Decides about a group. `patient`: nothing goes for its age just now.
///
/// A group is never left with nobody who could let others in: its last devices expire only together
/// with the group, and then any of them can begin anew.
pub fn plan_group(policy: &Policy, facts: &GroupFacts, patient: bool, now: UnixMs) -> GroupPlan {
    let is_old = |seen: &UnixMs| !patient && now >= seen.plus(policy.device_expiry);
    let present = || facts.devices.iter().filter(|(_, standing, _)| *standing == Standing::Present);
    let is_silent = facts.devices.iter().all(|(_, _, seen)| is_old(seen));
    let nothing_is_left = present().next().is_none() && !facts.has_blobs;
    if nothing_is_left || is_silent {
        return GroupPlan::Dissolve;
    }
    let mut expired: Vec<_> = present().filter(|(_, _, seen)| is_old(seen)).map(|(id, ..)| *id).collect();
    if expired.len() == present().count() {
        expired.clear();
    }
    GroupPlan::Keep { expired }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;

    fn cursor(n: u64) -> Cursor {
        Cursor::new(n).unwrap()
    }

    fn id(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 32]).unwrap()
    }

    #[test]
    fn a_relay_that_was_off_gives_devices_a_day() {
        let day = |n| UnixMs(n * DAY);
        assert_eq!(patience(None, day(0), day(500)), day(0), "there is nothing old in a new store");
        assert_eq!(patience(Some(day(5)), day(0), UnixMs(6 * DAY - 1)), day(0));
        assert_eq!(patience(Some(day(5)), day(0), day(6)), day(7));
        assert_eq!(patience(Some(day(6)), day(7), UnixMs(6 * DAY + 1)), day(7), "and no longer");
        assert_eq!(patience(Some(day(400)), day(401), day(35)), day(36), "the clock was put right");
    }

    #[test]
    fn what_has_expired_goes_and_leaves_a_stub_to_who_lacks_it() {
        assert_eq!(plan_expired(cursor(5), Some(cursor(5))), ExpiredFate::Gone);
        assert_eq!(plan_expired(cursor(6), Some(cursor(5))), ExpiredFate::Stub);
        assert_eq!(plan_expired(cursor(6), None), ExpiredFate::Gone);
    }

    /// Devices by standing and the day on which they were last heard of, looked at on day 100.
    fn plan(devices: &[(Standing, u64)], has_blobs: bool, patient: bool) -> GroupPlan {
        let numbered = devices.iter().zip(1..);
        let devices = numbered.map(|((standing, seen), n)| (id(n), *standing, UnixMs(seen * DAY))).collect();
        plan_group(&Policy::default(), &GroupFacts { devices, has_blobs }, patient, UnixMs(100 * DAY))
    }

    #[test]
    fn devices_are_let_go_after_ninety_days_and_the_group_with_the_last_of_them() {
        use Standing::{Expired, Present, Removed};
        let keep = |expired: &[u8]| GroupPlan::Keep { expired: expired.iter().map(|n| id(*n)).collect() };
        for (devices, has_blobs, expected) in [
            (&[(Present, 99), (Present, 11)][..], true, keep(&[])),
            (&[(Present, 99), (Present, 10)], true, keep(&[2])),
            (&[(Present, 99), (Expired, 5), (Removed, 5)], true, keep(&[])),
            (&[(Present, 10), (Present, 9)], true, GroupPlan::Dissolve),
            (&[(Present, 10), (Expired, 9)], true, GroupPlan::Dissolve),
            // Somebody left not long ago: the last one is not left outside of a group that lives on.
            (&[(Present, 10), (Removed, 50)], true, keep(&[])),
            // All have left. Whoever has a recovery file may come for what lies there.
            (&[(Removed, 50)], true, keep(&[])),
            (&[(Removed, 10)], true, GroupPlan::Dissolve),
            (&[(Removed, 99)], false, GroupPlan::Dissolve),
            (&[(Present, 99)], false, keep(&[])),
            (&[], false, GroupPlan::Dissolve),
        ] {
            assert_eq!(plan(devices, has_blobs, false), expected, "{devices:?}, blobs: {has_blobs}");
        }
    }

    #[test]
    fn a_patient_relay_lets_nobody_go_for_age() {
        use Standing::{Present, Removed};
        let nobody = GroupPlan::Keep { expired: vec![] };
        assert_eq!(plan(&[(Present, 99), (Present, 10)], true, true), nobody);
        assert_eq!(plan(&[(Present, 9)], false, true), nobody);
        assert_eq!(plan(&[(Removed, 9)], false, true), GroupPlan::Dissolve, "which is not for age");
    }
}
