//! What becomes of a rotation: who stays, who goes, and which key counts from now on.

use std::collections::BTreeMap;

use sync_types::limits::MAX_KEY_LINKS;
use sync_types::{Cursor, DeviceId, Epoch, KeyLink, KeyLog};

use super::admit::MAX_GONE_DEVICES;
use super::device::{DeviceFacts, Standing, has_place};
use super::push::Known;
use crate::policy::{Policy, StoredBytes};
use crate::store::{NewBlob, Placed, Refusal, RotateOp};

/// Rotations of a group that are never in the way of others of its origin.
const FIRST_ROTATIONS: Epoch = 8;
/// Largest of those, in bytes: a hundred devices' lockboxes, and what it says.
const SMALL_ROTATION: u64 = 32 * 1024;

/// What the store has about a rotation.
#[derive(Debug, Clone)]
pub struct RotateFacts {
    /// The group's key log.
    pub key_log: KeyLog,
    /// The group's newest cursor.
    pub max_cursor: Cursor,
    /// The blob that it has under the rotation's id.
    pub known: Option<Known>,
    /// Every device that the group has ever had.
    pub devices: BTreeMap<DeviceId, DeviceFacts>,
    /// What there is of the group.
    pub stored: StoredBytes,
    /// Bytes that the whole store has in use.
    pub used_bytes: u64,
}

/// What to do about a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotatePlan {
    /// It is there already.
    Repeat(Placed),
    /// Store it.
    Store(NewRotation),
}

/// A rotation that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRotation {
    /// Where it will stand.
    pub placed: Placed,
    /// What to add to the key log, which then reaches the rotation's epoch. A log that was learned from a
    /// HELLO has it already.
    pub link: Option<KeyLink>,
    /// Devices to be known as members of the rotation's epoch, whether they were known before or not.
    pub members: Vec<DeviceId>,
    /// Devices to be removed.
    pub removed: Vec<DeviceId>,
    /// Bytes that the group gains.
    pub added: u64,
}

/// Decides about a rotation. The first rule that applies counts; that it is there already comes before
/// all others, so that a retry is always safe.
pub fn plan_rotate(
    policy: &Policy,
    facts: Option<&RotateFacts>,
    op: &RotateOp,
) -> Result<RotatePlan, Refusal> {
    let facts = facts.ok_or(Refusal::Unknown)?;
    let place = |cursor, stored_at, fresh| Placed { blob_id: op.blob.blob_id, cursor, stored_at, fresh };
    match facts.known {
        Some(known) if known.hash == op.blob.hash => {
            return Ok(RotatePlan::Repeat(place(known.cursor, known.stored_at, false)));
        }
        Some(_) => return Err(Refusal::BlobConflict),
        None => {}
    }
    has_place(facts.devices.get(&op.device).map(|device| device.standing))?;
    let newest = facts.key_log.epoch();
    let (link, members, removed) = if newest.checked_add(1) == Some(op.rotation.epoch) {
        let link = next_key(policy, facts, op)?;
        (Some(link), recipients(facts, op), others(facts, op, |_| true))
    } else if is_in_log(facts, op) && op.rotation.epoch == newest {
        if op.rotation.lockboxes.len() as u64 > policy.max_devices_per_group {
            return Err(Refusal::TooManyDevices);
        }
        (None, recipients(facts, op), others(facts, op, |device| device.epoch < newest))
    } else if is_in_log(facts, op) {
        (None, Vec::new(), Vec::new())
    } else {
        return Err(Refusal::EpochStale);
    };
    let new = members.iter().filter(|device| !facts.devices.contains_key(device)).count();
    if new > 0 && (facts.devices.len() + new) as u64 > policy.max_devices_per_group + MAX_GONE_DEVICES {
        return Err(Refusal::TooManyDevices);
    }
    let added = NewBlob::cost(op.blob.payload.len()) as u64;
    if facts.used_bytes.saturating_add(added) > policy.max_db_size {
        return Err(Refusal::StoreFull);
    }
    // A full group has room for some rotations more: removing a device must be able to free it. So have the first few
    // small ones of each group, however much others of its origin take.
    let more = (policy.max_group_storage / 4).max(NewBlob::cost(policy.max_blob_size as usize) as u64);
    let own = StoredBytes { origin: None, ..facts.stored };
    let counts = if added <= SMALL_ROTATION && newest < FIRST_ROTATIONS { own } else { facts.stored };
    if policy.excess(&own, added) > more || policy.excess(&counts, added) > more {
        return Err(Refusal::GroupFull { held_by: None });
    }
    let placed = place(facts.max_cursor.next(), op.now, true);
    Ok(RotatePlan::Store(NewRotation { placed, link, members, removed, added }))
}

/// The link that takes the group to its next epoch, if everything about it is right.
fn next_key(policy: &Policy, facts: &RotateFacts, op: &RotateOp) -> Result<KeyLink, Refusal> {
    if op.after != facts.max_cursor {
        return Err(Refusal::Behind);
    }
    let log = &facts.key_log;
    let newest = log.epoch();
    let signer = log.key(newest).ok_or(Refusal::RotationForged)?;
    let verified = op.rotation.verify(&op.group, signer, &op.device, &op.blob.blob_id);
    let link = verified.map_err(|_| Refusal::RotationForged)?;
    if op.rotation.lockbox(&op.device).is_none() {
        return Err(Refusal::RotationOfOthers);
    }
    if op.rotation.lockboxes.len() as u64 > policy.max_devices_per_group {
        return Err(Refusal::TooManyDevices);
    }
    if log.links.len() >= MAX_KEY_LINKS {
        return Err(Refusal::TooManyRotations);
    }
    if op.epoch != newest {
        return Err(Refusal::EpochStale);
    }
    let revived = |device: &DeviceId| standing(facts, device) == Some(Standing::Removed);
    match op.rotation.lockboxes.iter().map(|lockbox| lockbox.device_id).find(revived) {
        Some(device) => Err(Refusal::RotationRevives { device }),
        None => Ok(link),
    }
}

/// Whether the group went through this very rotation: a relay that lost its database learns the key log
/// from the first HELLO, and the rotations later.
fn is_in_log(facts: &RotateFacts, op: &RotateOp) -> bool {
    let known = (op.rotation.epoch as usize).checked_sub(1).and_then(|at| facts.key_log.links.get(at));
    known == Some(&op.rotation.link(&op.device, &op.blob.blob_id))
}

/// The devices of the rotation. Who is gone stays gone.
fn recipients(facts: &RotateFacts, op: &RotateOp) -> Vec<DeviceId> {
    let all = op.rotation.lockboxes.iter().map(|lockbox| lockbox.device_id);
    all.filter(|device| matches!(standing(facts, device), None | Some(Standing::Present))).collect()
}

/// The devices that have no lockbox, and are not removed yet, as far as `which` says.
fn others(facts: &RotateFacts, op: &RotateOp, which: impl Fn(&DeviceFacts) -> bool) -> Vec<DeviceId> {
    let all = facts.devices.iter().filter(|(_, device)| device.standing != Standing::Removed);
    let others = all.filter(|(id, device)| op.rotation.lockbox(id).is_none() && which(device));
    others.map(|(id, _)| *id).collect()
}

fn standing(facts: &RotateFacts, device: &DeviceId) -> Option<Standing> {
    facts.devices.get(device).map(|device| device.standing)
}

#[cfg(test)]
mod tests;
