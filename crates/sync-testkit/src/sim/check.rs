//! The final comparison: what the apps were promised, and what they got.

use std::collections::{BTreeMap, BTreeSet};

use sync_types::{Cursor, DeviceId, StoredBlob};

use super::World;

/// What a run was made of: a test can make sure that something happened at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Pushes that were promised to an app.
    pub pushes: usize,
    /// Blobs that apps have read.
    pub reads: usize,
    /// Connections that were made.
    pub connections: u64,
    /// Times that an app heard of a reset.
    pub resets: usize,
    /// Times that the group's key was changed.
    pub rotations: usize,
    /// Devices that were removed.
    pub removed: usize,
    /// Devices that joined on the way.
    pub joined: usize,
    /// Pushes that a device never got, and was told so: a new key had overtaken them while a relay that had
    /// lost its store was given it back.
    pub overtaken: usize,
}

/// Compares. After a wipe only what must still hold: nothing is read twice.
///
/// # Errors
/// What is wrong, in words.
pub fn check(world: &World) -> Result<Summary, String> {
    let log = relay_log(world)?;
    let mut overtaken = 0;
    for (number, client) in world.clients.iter().enumerate() {
        nothing_twice(world, number)?;
        if world.takes_part(number) {
            // Who joins after a wipe finds what somebody had not read by then.
            if !world.plan.wipes || number < world.plan.devices {
                overtaken += complete(world, number)?;
            }
            if client.epoch() != world.clients[0].epoch() && world.takes_part(0) {
                return Err(format!("client {number} is in another epoch than client 0"));
            }
        }
        if !world.plan.wipes {
            for (blob_id, cursor) in &client.app.acked {
                if log.get(cursor).is_none_or(|blob| blob.blob_id != *blob_id) {
                    return Err(format!(
                        "client {number}: {blob_id:?} was acked as {cursor} and is not there"
                    ));
                }
            }
        }
    }
    Ok(Summary {
        pushes: world.clients.iter().map(|c| c.app.promised.len()).sum(),
        reads: world.clients.iter().map(|c| c.app.read.len()).sum(),
        connections: world.next_conn,
        resets: world.clients.iter().map(|c| c.app.resets).sum(),
        rotations: world.rotations,
        removed: world.clients.iter().filter(|c| c.removed).count(),
        joined: world.clients.iter().skip(world.plan.devices).filter(|c| c.joined).count(),
        overtaken,
    })
}

/// The relay's log: cursors from 1, without gaps, and no blob id twice.
fn relay_log(world: &World) -> Result<BTreeMap<Cursor, StoredBlob>, String> {
    let group = world.group().ok_or("no device is up")?;
    let mut log = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut after = Cursor::ZERO;
    for blob in world.relay.store.log(group) {
        if blob.cursor != after.next() {
            return Err(format!("the log jumps from {after} to {}", blob.cursor));
        }
        if !ids.insert(blob.blob_id) {
            return Err(format!("{:?} is in the log twice", blob.blob_id));
        }
        after = blob.cursor;
        log.insert(after, blob);
    }
    Ok(log)
}

/// An app reads nothing twice, and nothing that nobody pushed.
fn nothing_twice(world: &World, number: usize) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for ((_, cursor), (sender, data)) in &world.clients[number].app.read {
        let may_repeat =
            |data| world.clients[number].app.may_repeat.contains(data) || world.renamed.contains(data);
        if !seen.insert(data) && !may_repeat(data) {
            return Err(format!("client {number} read the blob at {cursor} twice"));
        }
        let pushed = world.clients.iter().any(|c| {
            c.id == *sender
                && (c.app.promised.values().any(|d| d == data) || c.app.unheard.iter().any(|d| d == data))
        });
        if !pushed {
            return Err(format!("client {number} read at {cursor} what {sender:?} never pushed"));
        }
    }
    Ok(())
}

/// An app has everything that the others were promised, in the order in which each pushed it; how many
/// it was warned of instead.
fn complete(world: &World, number: usize) -> Result<usize, String> {
    let mut overtaken = 0;
    let read = &world.clients[number].app.read;
    for (other, client) in world.clients.iter().enumerate().filter(|(other, _)| *other != number) {
        let got: Vec<_> = from(read, client.id);
        // Of a device that was removed, only what the relay had taken before that counts, and it does not
        // help a relay that has lost it.
        let taken = |blob_id| !world.plan.wipes && client.app.acked.contains_key(blob_id);
        let counts = |blob_id| world.takes_part(other) || taken(blob_id);
        for (_, data) in client.app.promised.iter().filter(|(blob_id, _)| counts(blob_id)) {
            let warned = world.clients[number].app.warned_of.contains(&client.id);
            if !got.contains(&data) && world.rotation_lost && warned {
                overtaken += 1;
            } else if !got.contains(&data) {
                let text = String::from_utf8_lossy(&data[..data.len().min(12)]).into_owned();
                return Err(format!("client {number} never got {text:?} of client {other}"));
            }
        }
        // What is shown again after a crash was there before.
        let mut seen = BTreeSet::new();
        let order: Vec<_> = got.iter().filter(|data| seen.insert(**data)).map(|data| place(data)).collect();
        if !order.is_sorted() {
            return Err(format!("client {number} got the pushes of client {other} out of order"));
        }
    }
    Ok(overtaken)
}

fn from(read: &BTreeMap<(usize, Cursor), (DeviceId, Vec<u8>)>, sender: DeviceId) -> Vec<&Vec<u8>> {
    read.values().filter(|(id, _)| *id == sender).map(|(_, data)| data).collect()
}

/// The number in `device:number:…`; 0 for the very first push.
fn place(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    text.split(':').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
