//! What time takes away, in memory: each chore in one piece.

use sync_relay_core::Policy;
use sync_relay_core::decide::{
    ExpiredFate, GroupFacts, GroupPlan, Standing, everybody_has, invite_is_over, patience, plan_expired,
    plan_group,
};
use sync_relay_core::store::{Chore, Cleaned, Cleanup};
use sync_types::UnixMs;

use super::group::Group;
use super::state::State;

impl State {
    pub(super) fn clean_up(&mut self, op: &Cleanup, policy: &Policy) -> Cleaned {
        let now = op.now;
        let patient = now < self.patient_until;
        let rows = match op.chore {
            Chore::Begin => {
                self.patient_until = patience(self.cleaned_at, self.patient_until, now);
                self.cleaned_at = Some(now);
                1
            }
            Chore::Invites => {
                let before = self.invites.len();
                self.invites.retain(|_, (facts, _)| !invite_is_over(facts, now));
                before - self.invites.len()
            }
            Chore::Tombstones => {
                let before = self.tombstones.len();
                self.tombstones.retain(|_, until| now < *until);
                before - self.tombstones.len()
            }
            Chore::Expired if patient => 0,
            Chore::Expired => self.groups.values_mut().map(|group| group.expire(now)).sum(),
            Chore::Groups => self.look_at_groups(policy, patient, now),
            // Nothing is left over here, and nothing is a file.
            Chore::Erase | Chore::Vacuum => 0,
        };
        Cleaned { rows: rows as u64, next: None }
    }

    fn look_at_groups(&mut self, policy: &Policy, patient: bool, now: UnixMs) -> usize {
        let mut rows = 0;
        self.groups.retain(|_, group| match plan_group(policy, &group.facts(), patient, now) {
            GroupPlan::Dissolve => {
                rows += 1;
                false
            }
            GroupPlan::Keep { expired } => {
                rows += expired.len();
                for id in expired {
                    if let Some(device) = group.devices.get_mut(&id) {
                        device.standing = Standing::Expired;
                    }
                }
                rows += group.settle();
                true
            }
        });
        rows
    }
}

impl Group {
    fn facts(&self) -> GroupFacts {
        let devices = self.devices.iter().map(|(id, device)| (*id, device.standing, device.last_seen));
        GroupFacts { devices: devices.collect(), has_blobs: !self.blobs.is_empty() }
    }

    fn expire(&mut self, now: UnixMs) -> usize {
        let is_over = |at: UnixMs| at <= now;
        let expired = self.blobs.iter().filter(|(_, blob)| blob.expires_at.is_some_and(is_over));
        let expired: Vec<_> = expired.map(|(cursor, _)| *cursor).collect();
        let acked = self.acked_by_all();
        for cursor in &expired {
            match plan_expired(*cursor, acked) {
                ExpiredFate::Gone => self.erase(*cursor),
                ExpiredFate::Stub => self.make_stub(*cursor),
            }
        }
        expired.len()
    }

    /// Drops the stubs and the deleted blobs that every device has.
    fn settle(&mut self) -> usize {
        let acked = self.acked_by_all();
        let settled = self.blobs.iter().filter(|(cursor, blob)| {
            (blob.payload.is_none() || blob.marked) && everybody_has(**cursor, acked)
        });
        let settled: Vec<_> = settled.map(|(cursor, _)| *cursor).collect();
        settled.iter().for_each(|cursor| self.erase(*cursor));
        settled.len()
    }
}
