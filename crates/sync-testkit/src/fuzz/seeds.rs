//! Inputs to start from: the test vectors in the form that each target reads, and a few scripts that go
//! once through everything.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_e2ee::{
    Content, Invite, Kind, Place, RosterEntry, RotationContent, SealOptions, blob, seal_rotation,
};
use sync_types::{Cursor, DeviceSecret, KeyLog, RelaySecret, UnixMs};
use sync_vectors::hostile::{Decoder, accept, decoders};

use super::sealed;

/// Longest input that is worth being one, in bytes.
const MAX_SEED: usize = 2048;

/// The good inputs of a decoder, each behind a byte that says how to read it.
fn corpus(name: &str, first: u8) -> Vec<Vec<u8>> {
    let all = decoders();
    let inputs = all.iter().filter(|decoder| decoder.name() == name).flat_map(Decoder::corpus);
    inputs.filter(|input| input.len() < MAX_SEED).map(|input| behind(first, input)).collect()
}

fn behind(first: u8, input: &[u8]) -> Vec<u8> {
    [&[first], input].concat()
}

/// Without that byte.
fn plain(name: &str) -> Vec<Vec<u8>> {
    corpus(name, 0).into_iter().map(|mut input| input.split_off(1)).collect()
}

pub(super) fn frame() -> Vec<Vec<u8>> {
    let messages = accept::handshake().expect("a handshake");
    let mut seeds: Vec<_> = (2..).zip(&messages).map(|(first, message)| behind(first, message)).collect();
    // Records: a full one and the last one; an envelope of one record; a flag that is none.
    seeds.push(vec![0, 255, 0, 7, 1, 0, 2, 8, 8]);
    seeds.push(vec![0, 2, 1, 0, 3, 1, 2, 3, 2, 0, 2, 2, 9]);
    // Frames: two envelopes, the second of two frames, in order; then one lost, turned, doubled, changed.
    seeds.push(vec![1, 0, 7, 0, 9, 5, 0, 0, 8, 255, 255, 5, 0, 5, 0]);
    seeds.push(vec![1, 0, 7, 0, 9, 0, 8, 0, 9, 3, 4, 5, 0, 2, 5, 1, 0, 3, 4]);
    seeds
}

pub(super) fn envelope() -> Vec<Vec<u8>> {
    // Bodies and other parts are there, too: what starts like an envelope is worth it.
    plain("Envelope").into_iter().filter(|input| input.first() == Some(&0x98)).collect()
}

pub(super) fn message() -> Vec<Vec<u8>> {
    sync_vectors::known_types().flat_map(|code| corpus(&format!("message {code:#04x}"), code)).collect()
}

pub(super) fn sealed_blob() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for body in [&b""[..], b"text", &[b'a'; 900]] {
        let place = Place::first(sync_types::ChainId([5; 16]));
        let content = Content { kind: Kind::Data, place, body: body.to_vec() };
        for compress in [false, true] {
            let options = SealOptions { compress, ..SealOptions::default() };
            let (keys, context) = (sealed::secret().keys(), sealed::blob_context());
            let mut rng = ChaCha20Rng::from_seed([1; 32]);
            let sealed = blob::seal(&keys, &context, &content, &options, &mut rng).expect("a small blob");
            seeds.extend(sealed::open_blob(&sealed).map(|plaintext| behind(1, &plaintext)));
            seeds.push(behind(0, &sealed));
        }
    }
    // A content of all fields, a hundred times the same text.
    let mut script = vec![2, 0, 1];
    script.extend([6; 16]);
    script.push(9);
    script.extend([7; 32]);
    script.extend([5; 16]);
    script.push(3);
    script.extend([8; 32]);
    script.extend([4, 7]);
    script.extend(b"what is said again and again ".repeat(10));
    seeds.push(script);
    seeds
}

pub(super) fn rotation() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> =
        corpus("Rotation", 0).into_iter().filter(|input| input.get(1) == Some(&2)).collect();
    let entry = |device: &DeviceSecret| RosterEntry {
        device_id: device.id(),
        name: sync_e2ee::DeviceName::new("ada"),
        platform: "linux".to_owned(),
        tips: Vec::new(),
    };
    let (stays, gone) = (sealed::device(), DeviceSecret::from_bytes([3; 32]));
    let content = RotationContent { roster: vec![entry(&stays)], removed: vec![entry(&gone)], history: true };
    let (context, next) = (sealed::rotation_context(), sealed::next());
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let rotation = seal_rotation(&sealed::secret().keys(), &stays, &next, &context, &content, &mut rng)
        .expect("a roster of one");
    seeds.extend(sealed::open_inner(&rotation).map(|inner| behind(1, &inner)));
    seeds.push(behind(2, &rotation.lockboxes[0].sealed));
    seeds
}

pub(super) fn invite() -> Vec<Vec<u8>> {
    let secret = sealed::secret();
    let key_log = KeyLog::new(secret.keys().auth_key());
    let device = sealed::device().id();
    let roster = RosterEntry {
        device_id: device,
        name: sync_e2ee::DeviceName::new("ada"),
        platform: "linux".to_owned(),
        tips: Vec::new(),
    };
    let seen = sync_e2ee::Seen {
        store_id: sync_types::StoreId([1; 16]),
        cursor: Cursor::new(9).unwrap_or_default(),
        head: [2; 32],
    };
    let invite = Invite {
        relay: "https://relay.example".parse().expect("an address"),
        relay_key: RelaySecret::from_bytes([6; 32]).key(),
        group_id: sealed::secret().keys().founds_group(),
        key_log,
        epoch: 0,
        secret,
        history: std::collections::BTreeMap::new(),
        roster: vec![roster],
        seen: Some(seen),
        created_by: device,
        expires: UnixMs(1_767_225_600_000),
    };
    let (lookup, key) = sealed::invite_keys();
    let sealed = invite.seal(&lookup, &key, &mut ChaCha20Rng::from_seed([1; 32])).expect("a small invite");
    let opened = sealed::open_invite(&sealed).expect("what was sealed");
    vec![behind(0, &opened), behind(1, &sealed)]
}

pub(super) fn invite_text() -> Vec<Vec<u8>> {
    plain("InviteCode")
}

pub(super) fn join_link() -> Vec<Vec<u8>> {
    plain("JoinLink")
}

/// Scripts of the relay's target, written with the numbers of `relay.rs`.
pub(super) fn relay_session() -> Vec<Vec<u8>> {
    let enter = |at: u8| vec![at, 0, 0, at, 15];
    let push = |at: u8, id: u8, len: u8| vec![at, 2, 0, id, 0, 9, 0, len];
    let mut seeds = vec![
        [enter(0), push(0, 1, 40), vec![0, 15], vec![0, 2, 4, 0, 0], vec![0, 15]].concat(),
        // Two members: one pushes, both read, acknowledge, ask who is there, delete.
        [
            enter(0),
            enter(1),
            push(0, 1, 40),
            push(0, 2, 200),
            vec![0, 15],
            vec![1, 2, 4, 0, 0, 1, 2, 6, 2, 0, 2, 6, 1, 1, 15],
            vec![0, 2, 9, 0, 2, 8, 1, 0, 15],
        ]
        .concat(),
        // A batch, a presence, a rotation that leaves one out, a cleanup long after.
        [
            enter(0),
            enter(1),
            vec![0, 2, 3, 2, 3, 0, 9, 0, 30, 4, 1, 9, 0, 30, 0, 15],
            vec![0, 2, 7, 3],
            vec![0, 2, 10, 1, 0, 0, 15],
            vec![0, 13, 255, 255, 16, 0, 14, 3, 3, 3, 3, 3, 3, 3],
        ]
        .concat(),
        // A device that has acknowledged something comes back with less.
        [enter(0), push(0, 1, 9), vec![0, 15, 0, 2, 6, 1, 0, 15, 0, 0, 2, 0, 0, 15]].concat(),
        // The whole group goes; a device leaves; storage fails; the relay goes down.
        [enter(0), push(0, 1, 9), vec![0, 15, 0, 2, 11, 0, 0, 15], enter(0)].concat(),
        [enter(0), enter(1), vec![1, 2, 11, 1, 1, 15, 0, 2, 9], push(0, 3, 9), vec![0, 12, 0]].concat(),
        [enter(0), push(0, 1, 9), vec![0, 12, 2, 0, 15, 0, 12, 1]].concat(),
        // A stranger.
        [enter(0), enter(2), push(2, 1, 9), vec![2, 9, 1, 0, 1, 0, 9, 0, 9, 2, 15]].concat(),
    ];
    // Every message of the vectors, from a member.
    for message in message().into_iter().filter(|message| message.len() < 600) {
        let (code, body) = (message[0], &message[1..]);
        let len = u16::try_from(body.len()).expect("a short one").to_be_bytes();
        seeds.push([enter(0), vec![0, 8, code], len.to_vec(), body.to_vec(), vec![0, 15]].concat());
    }
    seeds
}

/// Scripts of the engine's target, written with the numbers of `engine.rs`.
pub(super) fn client_engine() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        vec![0, 0, 0, 1, 1, 0, 10, 30, 0, 1],
        // A rotation that removes the thief; one that removes the other device.
        vec![0, 3, 13, 4, 1, 1, 1, 0, 0, 0, 1],
        vec![0, 3, 13, 2, 1, 1, 1, 0, 0, 10, 60, 0, 1],
        // A busy disk, and a power cut.
        vec![0, 13, 1, 0, 0, 0, 0, 1, 0, 12, 0, 15, 0, 1],
        vec![0, 13, 1, 0, 0, 0, 0, 13, 0, 1, 1],
        // A relay that starts over, twice; one that goes back.
        vec![0, 8, 8, 0, 9, 0, 0, 12, 0, 15, 0, 0, 0, 1, 12, 1, 15, 1, 1, 0, 10, 200],
        vec![0, 8, 3, 1, 1, 0, 12, 0, 15, 1, 12, 1, 15, 0, 1, 1, 1],
        // The thief pushes, announces, and takes another's place.
        vec![0, 9, 1, 1, 0, 0, 1, 1, 0, 1],
        vec![0, 9, 0, 0, 1, 0, 1, 1, 1, 1, 0, 1],
        // Leaving, and what an app may ask.
        vec![0, 3, 15, 0, 1, 1],
        vec![0, 3, 5, 0, 3, 6, 0, 3, 9, 0, 3, 0, 0, 0, 0, 3, 4, 0, 3, 8],
        vec![0, 3, 2, 0, 4, 0, 12, 0, 15, 0, 1],
    ];
    for which in 0..10 {
        for value in [0, 1, 40] {
            // A lie about a field of the next page, or of the next WELCOME.
            seeds.push(vec![0, 5, 7, which, 1, value, 0, 0, 0, 1, 1, 1, 2, 10, 20]);
            seeds.push(vec![0, 5, 7, which, 1, value, 0, 12, 0, 15, 0, 1, 10, 20]);
        }
    }
    // Everything that a relay may say, unasked and as an answer.
    for message in message().into_iter().filter(|message| message.len() < 600) {
        let (code, body) = (message[0], &message[1..]);
        let len = u16::try_from(body.len()).expect("a short one").to_be_bytes();
        seeds.push([&[0, 4, code], len.as_slice(), body, &[0, 1]].concat());
        seeds.push([&[0, 5, 5, code], len.as_slice(), body, &[0, 3, 5, 0, 1]].concat());
    }
    seeds
}
