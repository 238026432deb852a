//! A relay, its hub and its store, opposite two members, a stranger, and a group that none of them is in.
//!
//! The members have the group's secret and do with it what the input says. Whatever that is: nobody
//! reaches what is not his, cursors go one way, and nothing grows past its bound.

mod bed;
mod check;
mod peer;

use sync_e2ee::{RosterEntry, RotationContent, RotationContext, seal_rotation};
use sync_relay_core::store::{Chore, Seen};
use sync_relay_core::{Hub, WriteOp};
use sync_types::{
    Ack, BlobId, Cursor, Delete, Devices, Epoch, GroupDelete, Leave, Message, Presence, Pull, Push,
    PushBatch, Rotate, StoreId,
};

use super::script::Script;
use bed::{Bed, PEERS, STORE_ID, device, device_id, group, secret};

/// Most things that one input does.
const MAX_STEPS: usize = 100;
/// Most connections that one input makes: each costs a handshake.
const MAX_CONNECTIONS: usize = 6;

/// A sequence of messages, closes, commits, faults of storage and passing time.
pub fn relay_session(input: &[u8]) {
    let mut script = Script::new(input);
    let mut bed = Bed::new();
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        step(&mut bed, &mut script);
        bed.check();
    }
    bed.commit();
    bed.check();
    bed.check_idle();
}

fn step(bed: &mut Bed, script: &mut Script<'_>) {
    let at = script.below(PEERS);
    match script.below(16) {
        0 | 1 => {
            if bed.connections < MAX_CONNECTIONS {
                bed.connect(at);
            }
            bed.hello(at, |hello| {
                let choices = script.byte();
                if choices & 1 != 0 {
                    hello.key_log = None;
                }
                if choices & 2 != 0 {
                    (hello.store_id, hello.last_cursor) = (STORE_ID, cursor(script));
                }
                hello.features = u32::from(choices & 4 != 0);
                if choices & 8 != 0 {
                    hello.device_name = script.chunk().to_vec();
                }
                if choices & 16 != 0 {
                    hello.store_id = StoreId([1; 16]);
                }
                if choices & 32 != 0 {
                    hello.epoch = hello.epoch.saturating_sub(1);
                }
                if choices & 64 != 0 {
                    hello.version = script.u16();
                }
            });
        }
        2..=7 => {
            let message = honest(bed, script, at);
            bed.send(at, &message);
        }
        8 => {
            let code = script.byte();
            bed.send_body(at, code, script.chunk());
        }
        9 => {
            let who = script.byte();
            let message = honest(bed, script, at);
            bed.send_as(at, who, &message);
        }
        10 => bed.send_bytes(at, script.chunk()),
        11 => bed.send_frame(at, script.chunk()),
        12 => match script.below(3) {
            0 => bed.storage_fails(),
            1 => bed.close(at),
            _ => bed.shut_down(at),
        },
        13 => bed.wait(u64::from(script.u16()) << script.below(20)),
        14 => {
            bed.seen();
            for chore in Chore::ALL {
                bed.clean(chore, 1 + script.below(4) as u32);
            }
        }
        _ => bed.commit(),
    }
}

/// Something that a member may send, with numbers of the script's.
fn honest(bed: &Bed, script: &mut Script<'_>, at: usize) -> Message {
    match script.below(12) {
        0..=2 => push(script).into(),
        3 => {
            let blobs = (0..script.below(6)).map(|_| push(script)).collect();
            PushBatch { blobs }.into()
        }
        4 | 5 => Pull { after_cursor: cursor(script), limit: script.number() as u32 }.into(),
        6 => Ack { cursor: cursor(script) }.into(),
        7 => Presence::Own(script.byte()).into(),
        8 => Delete { blob_id: blob_id(script) }.into(),
        9 => Devices.into(),
        10 => rotate(bed, script, at).into(),
        _ => {
            if script.flag() {
                Leave.into()
            } else {
                GroupDelete.into()
            }
        }
    }
}

fn push(script: &mut Script<'_>) -> Push {
    let blob_id = blob_id(script);
    let ttl = match script.below(4) {
        0 => None,
        1 => Some(0),
        2 => Some(1),
        _ => Some(u32::from(script.byte())),
    };
    let (byte, len) = (script.byte(), usize::from(script.u16() % 4096));
    Push { blob_id, payload: vec![byte; len], ttl }
}

/// Few ids, so that they come again.
fn blob_id(script: &mut Script<'_>) -> BlobId {
    BlobId([script.byte() % 16; 16])
}

fn cursor(script: &mut Script<'_>) -> Cursor {
    Cursor::new(script.number()).unwrap_or_default()
}

/// The next epoch for some devices, well signed, unless the script says otherwise.
fn rotate(bed: &Bed, script: &mut Script<'_>, at: usize) -> Rotate {
    let (who, wrong) = (script.byte(), script.byte());
    let epoch = bed.epoch() + 1 + Epoch::from(wrong & 7 == 1);
    let blob_id = BlobId([0x20 | (wrong >> 4); 16]);
    let context = RotationContext { group_id: group(), epoch, sender: device_id(at), blob_id };
    let entry = |n: usize| RosterEntry {
        device_id: device_id(n),
        name: None,
        platform: String::new(),
        tips: Vec::new(),
    };
    let mut roster: Vec<_> = (0..PEERS + 1).filter(|n| *n == at || who >> n & 1 == 1).map(entry).collect();
    roster.sort_by_key(|entry| entry.device_id);
    let content = RotationContent { roster, removed: Vec::new(), history: true };
    let mut rng = bed.rng();
    let (current, next) = (secret(epoch - 1).keys(), secret(epoch));
    let mut rotation = seal_rotation(&current, &device(at), &next, &context, &content, &mut rng)
        .expect("a roster that ascends and has its maker");
    if wrong & 7 == 2 {
        rotation.signature[0] ^= 1;
    }
    let after = if wrong & 8 == 0 { bed.newest() } else { cursor(script) };
    Rotate { blob_id, after, payload: rotation.encode() }
}

impl Bed {
    /// What a driver does before it cleans up.
    fn seen(&mut self) {
        let devices = Hub::registrations(&self.hub).map(|r| (r.group, r.device)).collect();
        self.write_now(WriteOp::Seen(Seen { devices, now: self.now.unix }));
    }
}
