//! What a relay has promised, as its callers know it.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use sync_relay_core::store::{NewBlob, Payload, Placed, WriteOp, WriteOutcome, WriteResult};
use sync_types::{AuthKey, BlobId, DeviceId, Epoch, GroupId, KeyLink, KeyLog, UnixMs};

use crate::Violation;

/// Everything that was acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<u32, Group>,
    /// Numbers of groups that were given.
    pub(super) next_group: u32,
    pub(super) invites: Vec<String>,
    pub(super) now: u64,
    /// Kinds of writes that did something.
    pub(super) done: BTreeMap<&'static str, usize>,
}

/// A group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) links: Vec<KeyLink>,
    /// Devices that are in, and what each has acknowledged.
    pub(super) members: BTreeMap<u8, u64>,
    /// Devices that are out for good.
    pub(super) out: Vec<u8>,
    /// The newest cursor that was given.
    pub(super) newest: u64,
    /// What must be there, by cursor.
    pub(super) blobs: BTreeMap<u64, Kept>,
}

/// A blob that must be there.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) id: BlobId,
    pub(super) payload: Payload,
    pub(super) expires_at: Option<UnixMs>,
}

/// The key of a group in an epoch.
pub(super) fn signing_key(number: u32, epoch: Epoch) -> SigningKey {
    let mut seed = [5; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    seed[4..8].copy_from_slice(&epoch.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

pub(super) fn auth_key(number: u32, epoch: Epoch) -> AuthKey {
    AuthKey(signing_key(number, epoch).verifying_key().to_bytes())
}

pub(super) fn group_id(number: u32) -> GroupId {
    GroupId::of(&auth_key(number, 0))
}

pub(super) fn device_id(n: u8) -> DeviceId {
    // Small numbers are canonical.
    DeviceId::from_bytes([n; 32]).unwrap_or_else(|| unreachable!("device {n}"))
}

impl Group {
    fn new() -> Self {
        let (members, blobs) = (BTreeMap::new(), BTreeMap::new());
        Self { links: Vec::new(), members, out: Vec::new(), newest: 0, blobs }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.links.len() as Epoch
    }

    pub(super) fn key_log(&self, number: u32) -> KeyLog {
        KeyLog { genesis: auth_key(number, 0), links: self.links.clone() }
    }
}

impl Model {
    /// Takes an answer for true.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn learn(&mut self, op: &WriteOp, outcome: &WriteOutcome) -> Result<(), Violation> {
        let Ok(result) = outcome else { return Ok(()) };
        match (op, result) {
            (WriteOp::Admit(op), WriteResult::Admitted(admitted)) => {
                let number = self.number(&op.group).unwrap_or(self.next_group);
                self.next_group = self.next_group.max(number + 1);
                let group = self.groups.entry(number).or_insert_with(Group::new);
                group.members.insert(op.device.as_bytes()[0], admitted.acked.get());
                self.count("admit");
            }
            (WriteOp::Push(op), WriteResult::Pushed(pushed)) => {
                let Some((number, group)) = self.group(&op.group) else { return Ok(()) };
                for (blob, placed) in op.blobs.iter().zip(&pushed.placed) {
                    let (id, payload) = (blob.blob_id, blob.payload.clone());
                    group.keep(number, placed, Kept { id, payload, expires_at: blob.expires_at })?;
                }
                self.count(if op.blobs.len() > 1 { "batch" } else { "push" });
            }
            (WriteOp::Acknowledge(op), WriteResult::Acknowledged) => {
                if let Some((_, group)) = self.group(&op.group)
                    && let Some(acked) = group.members.get_mut(&op.device.as_bytes()[0])
                {
                    *acked = op.cursor.get().min(group.newest).max(*acked);
                    self.count("ack");
                }
            }
            (WriteOp::Rotate(op), WriteResult::Rotated(rotated)) => {
                let Some((number, group)) = self.group(&op.group) else { return Ok(()) };
                if rotated.epoch > group.epoch() {
                    group.links.push(op.rotation.link(&op.device, &op.blob.blob_id));
                }
                for device in &rotated.removed {
                    group.members.remove(&device.as_bytes()[0]);
                    group.out.push(device.as_bytes()[0]);
                }
                let (id, payload) = (op.blob.blob_id, op.blob.payload.clone());
                group.keep(number, &rotated.placed, Kept { id, payload, expires_at: None })?;
                self.count("rotation");
            }
            (WriteOp::Delete(op), WriteResult::Deleted(_)) => {
                if let Some((_, group)) = self.group(&op.group) {
                    group.blobs.retain(|_, kept| kept.id != op.blob_id);
                }
                self.count("delete");
            }
            (WriteOp::Leave(op), WriteResult::Left) => {
                if let Some((_, group)) = self.group(&op.group)
                    && group.members.remove(&op.device.as_bytes()[0]).is_some()
                {
                    group.out.push(op.device.as_bytes()[0]);
                }
                self.count("leave");
            }
            (WriteOp::GroupDelete(op), WriteResult::GroupDeleted) => {
                if let Some(number) = self.number(&op.group) {
                    self.groups.remove(&number);
                }
                self.count("deleted group");
            }
            (WriteOp::CreateInvite(op), WriteResult::InviteCreated) => {
                self.invites.push(op.lookup.clone());
                self.count("invite");
            }
            (WriteOp::ClaimInvite(op), WriteResult::InviteClaimed(_)) => {
                self.invites.retain(|lookup| *lookup != op.lookup);
                self.count("claimed invite");
            }
            (WriteOp::Cleanup(op), WriteResult::Cleaned(cleaned)) => {
                for group in self.groups.values_mut() {
                    group.blobs.retain(|_, kept| kept.expires_at.is_none_or(|at| at > op.now));
                }
                if cleaned.rows > 0 {
                    self.count("cleanup");
                }
            }
            _ => {}
        }
        self.now += 1;
        Ok(())
    }

    pub(super) fn number(&self, id: &GroupId) -> Option<u32> {
        self.groups.keys().copied().find(|number| group_id(*number) == *id)
    }

    fn group(&mut self, id: &GroupId) -> Option<(u32, &mut Group)> {
        let number = self.number(id)?;
        Some((number, self.groups.get_mut(&number)?))
    }

    fn count(&mut self, kind: &'static str) {
        *self.done.entry(kind).or_default() += 1;
    }
}

impl Group {
    /// A blob was stored, now or before.
    fn keep(&mut self, number: u32, placed: &Placed, kept: Kept) -> Result<(), Violation> {
        let (group, cursor, newest) = (number, placed.cursor.get(), self.newest);
        if placed.fresh {
            if cursor <= newest {
                return Err(Violation::ReusedCursor { group, cursor, newest });
            }
            if cursor > newest + 1 {
                return Err(Violation::CursorGap { group, cursor, newest });
            }
            self.newest = cursor;
            self.blobs.insert(cursor, kept);
        } else if self.blobs.get(&cursor).is_some_and(|there| there.id != kept.id) {
            return Err(Violation::OtherPush { group, cursor });
        }
        Ok(())
    }
}

impl Kept {
    /// The same push, once more.
    pub(super) fn again(&self) -> NewBlob {
        let payload = self.payload.clone();
        NewBlob { blob_id: self.id, hash: payload.hash(), payload, expires_at: self.expires_at }
    }
}
