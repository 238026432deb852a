//! What a store in memory holds, and how requests change it.

use std::collections::BTreeMap;

use sync_relay_core::decide::{
    AdmitFacts, DeleteFacts, DeletePlan, InviteFacts, PushFacts, RotateFacts, RotatePlan, Standing,
    acknowledged, may_read, plan_admit, plan_delete, plan_group_delete, plan_leave, plan_push, plan_rotate,
};
use sync_relay_core::store::{
    Acknowledge, Admit, Admitted, DeleteOp, Deleted, GroupDeleteOp, LeaveOp, Origin, PushOp, Pushed, ReadOp,
    ReadResult, Refusal, RotateOp, Rotated, Seen, Stats, WriteOp, WriteOutcome, WriteResult,
};
use sync_relay_core::{Policy, StoredBytes};
use sync_types::{DeviceId, GroupId, StoreId, UnixMs};

use super::Faults;
use super::group::{Device, Group};

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) store_id: StoreId,
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// Until when deleted groups are remembered.
    pub(super) tombstones: BTreeMap<GroupId, UnixMs>,
    pub(super) invites: BTreeMap<String, (InviteFacts, Vec<u8>)>,
    /// When the last cleanup began.
    pub(super) cleaned_at: Option<UnixMs>,
    /// Until when nothing goes for its age.
    pub(super) patient_until: UnixMs,
}

impl State {
    pub(super) fn new(store_id: StoreId) -> Self {
        Self {
            store_id,
            groups: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            invites: BTreeMap::new(),
            cleaned_at: None,
            patient_until: UnixMs(0),
        }
    }

    pub(super) fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(super) fn write(&mut self, op: &WriteOp, policy: &Policy, faults: Faults) -> WriteOutcome {
        match op {
            WriteOp::Admit(op) => self.admit(op, policy),
            WriteOp::Push(op) => self.push(op, policy, faults),
            WriteOp::Acknowledge(op) => Ok(self.acknowledge(op)),
            WriteOp::Seen(op) => Ok(self.seen(op)),
            WriteOp::Rotate(op) => self.rotate(op, policy),
            WriteOp::Delete(op) => self.delete(op),
            WriteOp::Leave(op) => self.leave(op),
            WriteOp::GroupDelete(op) => self.group_delete(op),
            WriteOp::CreateInvite(op) => self.create_invite(op),
            WriteOp::ClaimInvite(op) => self.claim_invite(op),
            WriteOp::RevokeInvite(op) => self.revoke_invite(op),
            WriteOp::Cleanup(op) => Ok(WriteResult::Cleaned(self.clean_up(op, policy))),
        }
    }

    fn admit(&mut self, op: &Admit, policy: &Policy) -> WriteOutcome {
        let group = self.groups.get(&op.group);
        let device = group.and_then(|group| group.devices.get(&op.device));
        let present = group.map_or(0, |group| group.present().count());
        let facts = AdmitFacts {
            store_id: self.store_id,
            tombstone: self.tombstones.get(&op.group).copied(),
            group: group.map(|group| (group.key_log.clone(), group.max_cursor)),
            device: device.map(Device::facts),
            groups: self.groups.len() as u64,
            origin_groups: self.of_origin(op.origin).count() as u64,
            devices: present as u64,
            gone: group.map_or(0, |group| group.devices.len() - present) as u64,
        };
        let plan = plan_admit(policy, &facts, op)?;
        if let (true, Some(log)) = (plan.new_group, &plan.new_log) {
            self.groups.insert(op.group, Group::new(log.clone(), op.origin));
        }
        let group = self.groups.get_mut(&op.group).ok_or(Refusal::Unknown)?;
        if let Some(log) = plan.new_log {
            group.key_log = log;
        }
        let device = Device {
            name: op.name.clone(),
            acked: plan.acked,
            last_seen: op.now,
            epoch: plan.device_epoch,
            standing: Standing::Present,
        };
        group.devices.insert(op.device, device);
        Ok(WriteResult::Admitted(Admitted { epoch: plan.epoch, acked: plan.acked }))
    }

    fn push(&mut self, op: &PushOp, policy: &Policy, faults: Faults) -> WriteOutcome {
        let used_bytes = self.used_bytes();
        let stored = self.stored(&op.group);
        let group = self.groups.get_mut(&op.group);
        let facts = group.as_ref().map(|group| PushFacts {
            epoch: group.key_log.epoch(),
            max_cursor: group.max_cursor,
            stored,
            sender: group.standing(&op.device),
            used_bytes,
        });
        let ids = op.blobs.iter().map(|blob| blob.blob_id);
        let known = group.as_ref().map(|group| group.known(ids)).unwrap_or_default();
        let mut plan = plan_push(policy, facts.as_ref(), &known, op)?;
        let group = group.ok_or(Refusal::Unknown)?;
        group.make_room(plan.make_room)?;
        for (blob, placed) in op.blobs.iter().zip(&mut plan.placed).filter(|(_, placed)| placed.fresh) {
            if faults.reuse_cursor && placed.cursor.get() % 7 == 0 {
                placed.cursor = placed.cursor.prev();
            }
            group.store(op.device, blob, placed);
        }
        group.stored_bytes += plan.added;
        group.max_cursor = plan.max_cursor;
        Ok(WriteResult::Pushed(Pushed { placed: plan.placed }))
    }

    fn acknowledge(&mut self, op: &Acknowledge) -> WriteResult {
        if let Some(group) = self.groups.get_mut(&op.group)
            && let Some(device) = group.devices.get_mut(&op.device)
        {
            device.acked = acknowledged(device.acked, op.cursor, group.max_cursor);
            device.last_seen = device.last_seen.max(op.now);
        }
        WriteResult::Acknowledged
    }

    fn seen(&mut self, op: &Seen) -> WriteResult {
        for (group, device) in &op.devices {
            if let Some(device) = self.groups.get_mut(group).and_then(|group| group.devices.get_mut(device)) {
                device.last_seen = device.last_seen.max(op.now);
            }
        }
        WriteResult::Seen
    }

    fn rotate(&mut self, op: &RotateOp, policy: &Policy) -> WriteOutcome {
        let used_bytes = self.used_bytes();
        let stored = self.stored(&op.group);
        let group = self.groups.get_mut(&op.group);
        let facts = group.as_ref().map(|group| RotateFacts {
            key_log: group.key_log.clone(),
            max_cursor: group.max_cursor,
            known: group.known([op.blob.blob_id]).remove(&op.blob.blob_id),
            devices: group.devices.iter().map(|(id, device)| (*id, device.facts())).collect(),
            stored,
            used_bytes,
        });
        let epoch = op.rotation.epoch;
        let new = match plan_rotate(policy, facts.as_ref(), op)? {
            RotatePlan::Store(new) => new,
            RotatePlan::Repeat(placed) => {
                return Ok(WriteResult::Rotated(Rotated { epoch, placed, removed: Vec::new() }));
            }
        };
        let group = group.ok_or(Refusal::Unknown)?;
        group.key_log.links.extend(new.link);
        for id in new.members {
            let device = group.devices.entry(id).or_insert_with(|| Device::announced(op.now));
            device.epoch = device.epoch.max(epoch);
        }
        for id in &new.removed {
            if let Some(device) = group.devices.get_mut(id) {
                device.standing = Standing::Removed;
            }
        }
        group.store(op.device, &op.blob, &new.placed);
        group.stored_bytes += new.added;
        group.max_cursor = new.placed.cursor;
        Ok(WriteResult::Rotated(Rotated { epoch, placed: new.placed, removed: new.removed }))
    }

    fn delete(&mut self, op: &DeleteOp) -> WriteOutcome {
        let group = self.groups.get_mut(&op.group);
        let facts = group.as_ref().map(|group| DeleteFacts {
            epoch: group.key_log.epoch(),
            asks: group.standing(&op.device),
            blob: group.doomed(&op.blob_id),
            acked: group.acked_by_all(),
        });
        let plan = plan_delete(facts.as_ref(), op)?;
        let blob = facts.and_then(|facts| facts.blob);
        let (Some(group), Some(blob)) = (group, blob) else {
            return Ok(WriteResult::Deleted(Deleted::Gone));
        };
        match plan {
            DeletePlan::Nothing => {}
            DeletePlan::Erase => group.erase(blob.cursor),
            DeletePlan::Mark => {
                group.mark(blob.cursor);
                return Ok(WriteResult::Deleted(Deleted::Marked));
            }
        }
        Ok(WriteResult::Deleted(Deleted::Gone))
    }

    fn leave(&mut self, op: &LeaveOp) -> WriteOutcome {
        let group = self.groups.get_mut(&op.group);
        let device = group.and_then(|group| group.devices.get_mut(&op.device));
        plan_leave(device.as_ref().map(|device| device.standing))?;
        if let Some(device) = device {
            device.standing = Standing::Removed;
            device.last_seen = device.last_seen.max(op.now);
        }
        Ok(WriteResult::Left)
    }

    fn group_delete(&mut self, op: &GroupDeleteOp) -> WriteOutcome {
        let group = self.groups.get(&op.group);
        let facts = group.map(|group| (group.key_log.epoch(), group.standing(&op.device)));
        let until = plan_group_delete(facts, op)?;
        self.groups.remove(&op.group);
        self.tombstones.insert(op.group, until);
        Ok(WriteResult::GroupDeleted)
    }

    fn of_origin(&self, origin: Option<Origin>) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(move |group| origin.is_some() && group.origin == origin)
    }

    fn stored(&self, id: &GroupId) -> StoredBytes {
        let Some(group) = self.groups.get(id) else {
            return StoredBytes::default();
        };
        let all = || self.of_origin(group.origin).map(|group| group.stored_bytes).sum();
        StoredBytes { group: group.stored_bytes, origin: group.origin.map(|_| all()) }
    }

    fn used_bytes(&self) -> u64 {
        self.groups.values().map(|group| group.stored_bytes).sum()
    }

    pub(super) fn read(&self, op: &ReadOp) -> ReadResult {
        match op {
            ReadOp::KeyLog { group } => ReadResult::KeyLog(self.groups.get(group).map(|g| g.key_log.clone())),
            ReadOp::Backlog { group, device, last_cursor, limit, inline } => {
                let backlog = |group: &Group| group.backlog(*last_cursor, *limit as usize, *inline);
                self.reader(group, device)
                    .map_or_else(ReadResult::Refused, |g| ReadResult::Backlog(backlog(g)))
            }
            ReadOp::Pull(page) => self
                .reader(&page.group, &page.device)
                .map_or_else(ReadResult::Refused, |group| ReadResult::Page(group.page(page))),
            ReadOp::Devices { group, device } => self
                .reader(group, device)
                .map_or_else(ReadResult::Refused, |group| ReadResult::Devices(group.rows())),
            ReadOp::Invite { lookup, revoke_hash, now } => {
                ReadResult::Invite(self.invite(lookup, revoke_hash, *now))
            }
            ReadOp::Stats => ReadResult::Stats(Stats {
                groups: self.groups.len() as u64,
                blobs: self.groups.values().map(|group| group.blobs.len() as u64).sum(),
            }),
        }
    }

    /// A group, for a device of it.
    fn reader(&self, group: &GroupId, device: &DeviceId) -> Result<&Group, Refusal> {
        let found = self.groups.get(group);
        let standing = found.and_then(|group| group.standing(device));
        may_read(found.is_some(), self.tombstones.contains_key(group), standing)?;
        found.ok_or(Refusal::Unknown)
    }
}
