//! What is behind a seal. Whoever has the keys may be hostile, too, so each input is taken three ways: as
//! it comes, as what a member has sealed, and as what an honest member means. What comes as it is must not
//! open: it is tried with keys that nothing was ever sealed under.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::Sha256;
use sync_e2ee::{
    BlobContext, Content, EpochSecret, Invite, Kind, Place, RotationContent, RotationContext, SealOptions,
    Seen, blob, open_lockbox, open_rotation,
};
use sync_types::ids::MAX_SAFE_INTEGER;
use sync_types::limits::MAX_SEALED_INVITE;
use sync_types::rotation::LOCKBOX;
use sync_types::wire::{Reader, put_list, take_list};
use sync_types::{
    BlobHash, BlobId, ChainId, Cursor, DeviceSecret, GroupId, InviteKey, Lockbox, LookupKey, Rotation,
    StoreId, UnixMs,
};
use sync_vectors::hostile::accept;

use super::script::Script;

/// Largest body that is accepted here, in bytes.
const MAX_BODY: usize = 4096;
/// Largest blob that is made here, in bytes.
const MAX_BLOB: usize = 2048;
const BLOB_HEADER: usize = 5;
const NONCE: [u8; 24] = [8; 24];

pub(super) fn secret() -> EpochSecret {
    EpochSecret::from_bytes([7; 32])
}

/// A secret that nothing is sealed under.
fn unused() -> EpochSecret {
    EpochSecret::from_bytes([6; 32])
}

pub(super) fn device() -> DeviceSecret {
    DeviceSecret::from_bytes([2; 32])
}

pub(super) fn blob_context() -> BlobContext {
    let group_id = secret().keys().founds_group();
    BlobContext { group_id, epoch: 3, sender: device().id(), blob_id: BlobId([4; 16]) }
}

/// A sealed blob, its content, or what is to become one, by the first byte.
pub fn sealed_blob(input: &[u8]) {
    let mut script = Script::new(input);
    let (keys, context) = (secret().keys(), blob_context());
    match script.below(3) {
        0 => {
            let sealed = script.rest();
            if blob::claimed_epoch(sealed).is_ok() {
                assert!(sealed.len() >= BLOB_HEADER);
            }
            assert!(blob::open(&unused().keys(), &context, sealed, MAX_BODY).is_err());
        }
        1 => {
            let sealed = seal_blob(script.rest());
            if let Ok(content) = blob::open(&keys, &context, &sealed, MAX_BODY) {
                assert!(content.body.len() <= MAX_BODY);
                honest(&content, 1 << 16);
            }
        }
        _ => honest(&content(&mut script), MAX_BLOB),
    }
}

fn content(script: &mut Script<'_>) -> Content {
    let kind = [Kind::Data, Kind::Control, Kind::Void][script.below(3)];
    let seen = script.flag().then(|| Seen {
        store_id: StoreId(script.array()),
        cursor: Cursor::new(script.number()).unwrap_or_default(),
        head: script.array(),
    });
    let place = Place {
        chain_id: ChainId(script.array()),
        seq: script.number().min(MAX_SAFE_INTEGER),
        prev: BlobHash(script.array()),
        prev_expires: UnixMs(script.number().min(MAX_SAFE_INTEGER)),
        seen,
    };
    let times = 1 + script.below(8);
    Content { kind, place, body: script.rest().repeat(times) }
}

/// What is sealed comes back, within the bound, and nowhere else.
fn honest(content: &Content, max_blob: usize) {
    let (keys, context) = (secret().keys(), blob_context());
    for compress in [false, true] {
        let options = SealOptions { max_blob, compress };
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let Ok(sealed) = blob::seal(&keys, &context, content, &options, &mut rng) else {
            assert!(content.body.len() + 192 > max_blob / 2, "there is room");
            continue;
        };
        assert!(sealed.len() <= max_blob);
        let opened = blob::open(&keys, &context, &sealed, content.body.len()).expect("what was sealed");
        assert_eq!(&opened, content);
        let elsewhere = BlobContext { blob_id: BlobId([5; 16]), ..context };
        assert!(blob::open(&keys, &elsewhere, &sealed, MAX_BODY).is_err());
    }
}

/// A blob with this in it, and nothing checked.
fn seal_blob(plaintext: &[u8]) -> Vec<u8> {
    let context = blob_context();
    let mut sealed = vec![1];
    sealed.extend(context.epoch.to_be_bytes());
    sealed.extend(seal(&blob_key(&secret()), &blob_aad(b"sync-relay blob v1", &context), plaintext));
    sealed
}

/// What is in a blob: for making seeds.
pub(super) fn open_blob(sealed: &[u8]) -> Option<Vec<u8>> {
    let aad = blob_aad(b"sync-relay blob v1", &blob_context());
    open(&blob_key(&secret()), &aad, sealed.get(BLOB_HEADER..)?)
}

fn blob_aad(label: &[u8], context: &BlobContext) -> Vec<u8> {
    let epoch = context.epoch.to_be_bytes();
    [label, &context.group_id.0, &epoch, context.sender.as_bytes(), &context.blob_id.0].concat()
}

fn blob_key(secret: &EpochSecret) -> [u8; 32] {
    let mut key = [0; 32];
    let label = b"sync-relay blob key v1";
    Hkdf::<Sha256>::new(None, secret.expose_bytes()).expand(label, &mut key).expect("32 bytes");
    key
}

fn seal(key: &[u8; 32], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt(&XNonce::from(NONCE), Payload { msg: plaintext, aad }).expect("few bytes");
    [NONCE.as_slice(), &sealed].concat()
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, msg) = sealed.split_first_chunk::<24>()?;
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(*nonce), Payload { msg, aad }).ok()
}

/// The secret that a rotation of this target hands over.
pub(super) fn next() -> EpochSecret {
    EpochSecret::from_bytes([9; 32])
}

pub(super) fn rotation_context() -> RotationContext {
    let BlobContext { group_id, sender, blob_id, .. } = blob_context();
    RotationContext { group_id, epoch: 1, sender, blob_id }
}

/// A rotation's payload, what it tells members, or a lockbox, by the first byte.
pub fn rotation(input: &[u8]) {
    let mut script = Script::new(input);
    let context = rotation_context();
    match script.below(3) {
        0 => {
            let payload = script.rest();
            accept::rotation(payload);
            if let Ok(rotation) = Rotation::decode(payload) {
                // Nobody has signed or sealed it for this place.
                let key = secret().keys().auth_key();
                let (sender, blob_id) = (context.sender, context.blob_id);
                assert!(rotation.verify(&context.group_id, &key, &sender, &blob_id).is_err());
                assert!(open_rotation(&rotation, &context, &next()).is_err());
                assert!(!matches!(open_lockbox(&rotation, &context, &device()), Ok(Some(_))));
            }
        }
        1 => inner(script.rest()),
        _ => {
            // For a device that nobody seals for.
            let device = DeviceSecret::from_bytes([98; 32]);
            let lockbox = Lockbox { device_id: device.id(), sealed: script.array() };
            let rotation = unsigned(vec![lockbox], Vec::new());
            assert!(open_lockbox(&rotation, &context, &device).is_err());
        }
    }
}

/// What a hostile member tells the others: whatever they believe hangs together.
fn inner(plaintext: &[u8]) {
    let context = rotation_context();
    let aad = rotation_aad(&context);
    let sealed = [&[1], seal(&blob_key(&next()), &aad, plaintext).as_slice()].concat();
    // The lockboxes are the roster's, if it can be read at all: else nothing further is reached.
    let mut reader = Reader::new(plaintext);
    let roster: Vec<sync_e2ee::RosterEntry> =
        reader.array(3).and_then(|()| take_list(&mut reader, 16)).unwrap_or_default();
    let boxes = roster.iter().map(|entry| Lockbox { device_id: entry.device_id, sealed: [0; LOCKBOX] });
    let rotation = unsigned(boxes.collect(), sealed);
    if let Ok(RotationContent { roster, removed, .. }) = open_rotation(&rotation, &context, &next()) {
        assert!(roster.is_sorted_by(|a, b| a.device_id < b.device_id));
        assert!(removed.is_sorted_by(|a, b| a.device_id < b.device_id));
        assert!(roster.iter().any(|entry| entry.device_id == context.sender));
        assert!(removed.iter().all(|gone| roster.iter().all(|stays| stays.device_id != gone.device_id)));
        let mut again = sync_types::wire::Writer::default();
        again.array(3);
        put_list(&roster, &mut again);
        put_list(&removed, &mut again);
        assert!(plaintext.starts_with(&again.finish()));
    }
}

fn unsigned(lockboxes: Vec<Lockbox>, inner: Vec<u8>) -> Rotation {
    Rotation { epoch: 1, auth_key: next().keys().auth_key(), lockboxes, inner, signature: [0; 64] }
}

fn rotation_aad(context: &RotationContext) -> Vec<u8> {
    let RotationContext { group_id, epoch, sender, blob_id } = *context;
    blob_aad(b"sync-relay rotation v1", &BlobContext { group_id, epoch, sender, blob_id })
}

/// What is in a rotation: for making seeds.
pub(super) fn open_inner(rotation: &Rotation) -> Option<Vec<u8>> {
    open(&blob_key(&next()), &rotation_aad(&rotation_context()), rotation.inner.get(1..)?)
}

pub(super) fn invite_keys() -> (LookupKey, InviteKey) {
    (LookupKey([1; 16]), InviteKey::from_bytes([2; 32]))
}

fn invite_aad(lookup: &LookupKey) -> Vec<u8> {
    [b"sync-relay invite v1".as_slice(), &lookup.0].concat()
}

/// A sealed invite, or what is in one, by the first byte. A recovery file has the same in it.
pub fn invite(input: &[u8]) {
    let mut script = Script::new(input);
    let (lookup, key) = invite_keys();
    if script.flag() {
        let unused = InviteKey::from_bytes([3; 32]);
        return assert!(Invite::open(&lookup, &unused, script.rest()).is_err());
    }
    let sealed = seal(key.expose_bytes(), &invite_aad(&lookup), script.rest());
    let Ok(invite) = Invite::open(&lookup, &key, &[&[1], sealed.as_slice()].concat()) else { return };
    // Whoever takes it is in the group that the key log says, with the secrets that it says.
    assert_eq!(GroupId::of(&invite.key_log.genesis), invite.group_id);
    assert_eq!(invite.key_log.epoch(), invite.epoch);
    let secrets = invite.history.iter().chain([(&invite.epoch, &invite.secret)]);
    for (epoch, secret) in secrets {
        assert_eq!(invite.key_log.key(*epoch), Some(&secret.keys().auth_key()));
    }
    let again = invite.seal(&lookup, &key, &mut ChaCha20Rng::from_seed([1; 32])).expect("it did fit");
    assert!(again.len() <= MAX_SEALED_INVITE);
    let again = Invite::open(&lookup, &key, &again).expect("what was sealed");
    assert_eq!((again.roster, again.seen), (invite.roster, invite.seen));
    assert_eq!((again.created_by, again.expires), (invite.created_by, invite.expires));
}

/// What is in an invite: for making seeds.
pub(super) fn open_invite(sealed: &[u8]) -> Option<Vec<u8>> {
    let (lookup, key) = invite_keys();
    open(key.expose_bytes(), &invite_aad(&lookup), sealed.get(1..)?)
}
