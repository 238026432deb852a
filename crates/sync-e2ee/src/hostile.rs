//! Hostile inputs for what is decoded behind a seal: a member may be hostile, too.
//!
//! `HOSTILE=NAME:NUMBER` replays an input, as in `sync-vectors`.
#![allow(clippy::disallowed_methods, clippy::print_stderr)]

use std::alloc::System;

use cap::Cap;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sync_types::wire::{Wire, decode, encode};
use sync_types::{BlobId, DeviceSecret, GroupId, InviteKey, Lockbox, LookupKey, Rotation};
use sync_vectors::hostile::Decoder;

use crate::{
    BlobContext, Control, DeviceName, EpochKeys, EpochSecret, Invite, RosterEntry, RotationContent,
    RotationContext, blob, invite, name, open_lockbox, recovery, rotation,
};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 1 << 30);

/// Largest body that is accepted here, in bytes.
const MAX_BODY: usize = 64 * 1024;

fn keys() -> EpochKeys {
    EpochSecret::from_bytes([7; 32]).keys()
}

fn context() -> BlobContext {
    let sender = DeviceSecret::from_bytes([2; 32]).id();
    BlobContext { group_id: GroupId([1; 32]), epoch: 0, sender, blob_id: BlobId([4; 16]) }
}

fn wire<T: Wire>(name: &str, good: &T) -> Decoder {
    Decoder::new(name, vec![encode(good)], |bytes| {
        if let Ok(value) = decode::<T>(bytes) {
            assert_eq!(encode(&value), bytes);
        }
    })
}

fn decoders() -> Vec<Decoder> {
    let announce = Control::Announce { name: DeviceName::new("ada").unwrap(), platform: "linux".to_owned() };
    let contents = blob::tests_corpus();
    let sealed = contents.iter().map(|content| {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        blob::seal(&keys(), &context(), content, &crate::SealOptions::default(), &mut rng).unwrap()
    });
    vec![
        wire("Control", &announce),
        wire("DeviceName", &DeviceName::new("ada").unwrap()),
        wire::<RosterEntry>("RosterEntry", &invite::tests_invite(1).roster[0]),
        Decoder::new("blob content", blob::tests_plaintexts(), |bytes| {
            if let Ok(content) = blob::decode(bytes, MAX_BODY) {
                assert!(content.body.len() <= MAX_BODY);
            }
        }),
        Decoder::new("invite content", vec![invite::tests_plaintext()], |bytes| {
            if let Ok(invite) = Invite::decode(bytes) {
                assert_eq!(invite.encode(true, 0), bytes);
            }
        }),
        Decoder::new("recovery content", vec![invite::tests_plaintext()], |bytes| {
            if let Ok(Ok(invite)) = Invite::decode(bytes).map(Invite::verified) {
                assert_eq!(invite.encode(true, 0), bytes);
            }
        })
        .dear(),
        Decoder::text("recovery phrase", vec!["abacus yo-yo zoom absurd t-shirt zit".to_owned()], |text| {
            if let Ok(phrase) = recovery::parse_phrase(text) {
                assert_eq!(recovery::parse_phrase(&phrase), Ok(phrase));
            }
        })
        .dear(),
        Decoder::new("rotation content", vec![rotation::tests_plaintext()], |bytes| {
            if let Ok(content) = RotationContent::decode(bytes) {
                assert!(bytes.starts_with(&content.encode()));
            }
        }),
        Decoder::new("lockbox", vec![vec![1; 128]], |bytes| {
            assert!(!opens_as_lockbox(bytes));
        })
        .dear(),
        Decoder::new("sealed blob", sealed.collect(), |bytes| {
            let _ = blob::open(&keys(), &context(), bytes, MAX_BODY);
        })
        .dear(),
        Decoder::new("sealed invite", vec![vec![1; 300]], |bytes| {
            assert!(Invite::open(&LookupKey([1; 16]), &InviteKey::from_bytes([2; 32]), bytes).is_err());
        }),
        Decoder::new("sealed name", vec![vec![1; 109]], |bytes| {
            let context = context();
            assert!(name::open_name(&keys(), &context.group_id, 0, &context.sender, bytes).is_err());
        })
        .dear(),
    ]
}

fn opens_as_lockbox(bytes: &[u8]) -> bool {
    let (device, place) = (DeviceSecret::from_bytes([3; 32]), context());
    let context =
        RotationContext { group_id: place.group_id, epoch: 1, sender: place.sender, blob_id: place.blob_id };
    let Ok(sealed) = bytes.try_into() else { return false };
    let lockboxes = vec![Lockbox { device_id: device.id(), sealed }];
    let auth_key = keys().auth_key();
    let rotation = Rotation { epoch: 1, auth_key, lockboxes, inner: Vec::new(), signature: [0; 64] };
    open_lockbox(&rotation, &context, &device).is_ok()
}

/// Memory is counted for the whole process: only a test that runs alone can measure it.
fn feed_all(cheap: u64, dear: u64, alone: bool) {
    for mut decoder in decoders() {
        let name = decoder.name().to_owned();
        let count = if decoder.is_dear() { dear } else { cheap };
        let numbers = match std::env::var("HOSTILE").ok().and_then(|which| {
            let (wanted, number) = which.rsplit_once(':')?;
            (wanted == name).then(|| number.parse::<u64>().ok())?
        }) {
            Some(number) => number..number + 1,
            None => 0..count,
        };
        let mut current = 0;
        decoder.feed(numbers, |number, input, run| {
            current = number;
            let before = MEMORY.total_allocated();
            run();
            let allocated = MEMORY.total_allocated() - before;
            // LZ4 may give back up to the bound, whatever the input was.
            let allowed = 64 * 1024 + MAX_BODY + 32 * input.len();
            assert!(!alone || allocated <= allowed, "{name}:{number} took {allocated} bytes");
        });
        eprintln!("{name}: {count} inputs, the last was number {current}");
    }
}

#[test]
fn sealed_contents_take_hostile_inputs() {
    feed_all(2_000, 200, false);
}

#[test]
#[ignore = "heavy: a million inputs for each decoder"]
fn sealed_contents_take_a_million_hostile_inputs_each() {
    feed_all(1_000_000, 50_000, true);
}
