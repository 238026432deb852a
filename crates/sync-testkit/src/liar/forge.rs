//! Whoever has the keys of a device, and no scruples: what a removed device, a thief or a relay that
//! one of them helps can make.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::Sha256;
use sync_e2ee::{
    BlobContext, Content, Control, DeviceName, EpochSecret, Invite, Kind, Place, RosterEntry,
    RotationContent, RotationContext, SealOptions, blob, open_lockbox, open_rotation, seal_name,
    seal_rotation,
};
use sync_types::keylog::rotation_transcript;
use sync_types::wire::encode;
use sync_types::{
    BlobHash, BlobId, ChainId, DeviceId, DeviceSecret, Epoch, GroupId, Rotation, StoredBlob, UnixMs,
};

/// Keys of a group, and of one device.
#[derive(Debug)]
pub struct Forger {
    /// The device's own key pair.
    pub secret: DeviceSecret,
    /// The secrets of all epochs that it ever had.
    pub secrets: BTreeMap<Epoch, EpochSecret>,
    /// What it knows of the group.
    pub invite: Invite,
    rng: ChaCha20Rng,
    ids: u8,
}

/// A blob that is to be forged.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In which epoch's key.
    pub epoch: Epoch,
    /// In whose name.
    pub sender: DeviceId,
    /// Where in a chain.
    pub place: Place,
    /// What for.
    pub kind: Kind,
    /// What it says.
    pub body: Vec<u8>,
}

impl Forger {
    pub(super) fn new(secret: DeviceSecret, invite: Invite) -> Self {
        let mut secrets = invite.history.clone();
        secrets.insert(invite.epoch, invite.secret.clone());
        Self { secret, secrets, invite, rng: ChaCha20Rng::from_seed([77; 32]), ids: 0 }
    }

    /// Who it is.
    pub fn id(&self) -> DeviceId {
        self.secret.id()
    }

    fn group(&self) -> GroupId {
        self.invite.group_id
    }

    /// A blob id that nobody has used.
    pub fn blob_id(&mut self) -> BlobId {
        self.ids += 1;
        BlobId([0xf0 | (self.ids >> 4), self.ids, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Opens what lies in the log, with any of its keys.
    pub fn open(&self, entry: &StoredBlob) -> Option<Content> {
        let payload = entry.payload.as_ref()?;
        self.secrets.iter().find_map(|(epoch, secret)| {
            let context = BlobContext {
                group_id: self.group(),
                epoch: *epoch,
                sender: entry.sender_id,
                blob_id: entry.blob_id,
            };
            blob::open(&secret.keys(), &context, payload, 1 << 24).ok()
        })
    }

    /// Whether it learns anything of what lies in the log: a blob, a rotation's secret or what is in it.
    pub fn learns(&self, entry: &StoredBlob) -> bool {
        let Some(rotation) = entry.payload.as_deref().and_then(|payload| Rotation::decode(payload).ok())
        else {
            return self.open(entry).is_some();
        };
        let context = RotationContext {
            group_id: self.group(),
            epoch: rotation.epoch,
            sender: entry.sender_id,
            blob_id: entry.blob_id,
        };
        // Its own lockbox, and those of others, as if they were its own.
        let mut boxes = vec![rotation.clone()];
        boxes.extend(rotation.lockboxes.iter().map(|lockbox| {
            let own = sync_types::Lockbox { device_id: self.id(), sealed: lockbox.sealed };
            Rotation { lockboxes: vec![own], ..rotation.clone() }
        }));
        let opens =
            |rotation: &Rotation| matches!(open_lockbox(rotation, &context, &self.secret), Ok(Some(_)));
        boxes.iter().any(opens)
            || self.secrets.values().any(|secret| open_rotation(&rotation, &context, secret).is_ok())
    }

    /// Seals something.
    pub fn seal(&mut self, plan: &Plan) -> (BlobId, Vec<u8>) {
        let blob_id = self.blob_id();
        (blob_id, self.seal_as(blob_id, plan))
    }

    /// Seals something under an id.
    pub fn seal_as(&mut self, blob_id: BlobId, plan: &Plan) -> Vec<u8> {
        let context = BlobContext { group_id: self.group(), epoch: plan.epoch, sender: plan.sender, blob_id };
        let content = Content { kind: plan.kind, place: plan.place.clone(), body: plan.body.clone() };
        let keys = self.secrets.get(&plan.epoch).expect("a key that it has").keys();
        blob::seal(&keys, &context, &content, &SealOptions::default(), &mut self.rng).expect("a small blob")
    }

    /// The place after a blob of the log, in its chain.
    pub fn after(&self, entry: &StoredBlob) -> Place {
        let place = self.open(entry).expect("a blob that it can read").place;
        let prev = super::hash_of(entry);
        // A forged place may be the last there is.
        Place { seq: place.seq.wrapping_add(1), prev, prev_expires: UnixMs(0), ..place }
    }

    /// The first place of a chain of its own making.
    pub fn new_chain(&self) -> Place {
        Place { prev: BlobHash([0; 32]), ..Place::first(ChainId([0xcc; 16])) }
    }

    /// The body of an announcement.
    pub fn announcement(name: &str) -> Vec<u8> {
        let name = DeviceName::new(name).expect("a name");
        encode(&Control::Announce { name, platform: "forged".to_owned() })
    }

    /// A device's name, as if it had sealed that itself.
    pub fn name(&mut self, epoch: Epoch, device: &DeviceId, name: &str) -> Vec<u8> {
        let name = DeviceName::new(name).expect("a name");
        let keys = self.secrets.get(&epoch).expect("a key that it has").keys();
        let group = self.group();
        seal_name(&keys, &group, epoch, device, &name, &mut self.rng).expect("a short name")
    }

    /// A rotation from an epoch whose key it has to the next, in its own name.
    pub fn rotate(&mut self, epoch: Epoch, roster: Vec<RosterEntry>) -> (BlobId, Rotation, EpochSecret) {
        let next = EpochSecret::generate(&mut self.rng);
        let blob_id = self.blob_id();
        (blob_id, self.rotate_to(&next, epoch, blob_id, roster), next)
    }

    /// The same, to a secret and under an id that are given.
    pub fn rotate_to(
        &mut self,
        next: &EpochSecret,
        epoch: Epoch,
        blob_id: BlobId,
        mut roster: Vec<RosterEntry>,
    ) -> Rotation {
        roster.sort_by_key(|entry| entry.device_id);
        let context =
            RotationContext { group_id: self.group(), epoch: epoch + 1, sender: self.id(), blob_id };
        let content = RotationContent { roster, removed: Vec::new(), history: true };
        let keys = self.secrets.get(&epoch).expect("a key that it has").keys();
        seal_rotation(&keys, &self.secret, next, &context, &content, &mut self.rng).expect("a rotation")
    }

    /// Signs a rotation that it has changed, with the key of an epoch, in anybody's name.
    pub fn sign(&self, epoch: Epoch, rotation: &mut Rotation, sender: &DeviceId, blob_id: &BlobId) {
        let secret = self.secrets.get(&epoch).expect("a key that it has");
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(None, secret.expose_bytes())
            .expand(b"sync-relay auth seed v1", &mut seed)
            .expect("32 bytes");
        let hash = rotation.content_hash(sender, blob_id);
        let transcript = rotation_transcript(&self.group(), rotation.epoch, &rotation.auth_key, &hash);
        rotation.signature = SigningKey::from_bytes(&seed).sign(&transcript).to_bytes();
    }

    /// The same keys in other hands.
    pub fn in_hands_of(&self, secret: DeviceSecret) -> Self {
        let (secrets, invite) = (self.secrets.clone(), self.invite.clone());
        Self { secret, secrets, invite, rng: ChaCha20Rng::from_seed([78; 32]), ids: 100 }
    }

    /// The same roster as in its invite, itself included.
    pub fn roster(&self) -> Vec<RosterEntry> {
        self.invite.roster.clone()
    }

    /// Whether it can read a name that lies at the relay.
    pub fn reads_name(&self, device: &DeviceId, sealed: &[u8]) -> bool {
        let group = self.group();
        self.secrets.iter().any(|(epoch, secret)| {
            sync_e2ee::open_name(&secret.keys(), &group, *epoch, device, sealed).is_ok()
        })
    }
}
