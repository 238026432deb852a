//! The requests to storage and their results.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, DeviceRow, Epoch, GroupId, KeyLog, PullResponse, StoreId, UnixMs,
};

/// A sealed blob's bytes, shared and never copied on their way. `Debug` shows their number only.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<Vec<u8>>);

impl Payload {
    /// SHA-256.
    pub fn hash(&self) -> BlobHash {
        BlobHash(Sha256::digest(self.0.as_slice()).into())
    }

    /// The bytes, for a storage that wants to share them too.
    pub fn shared(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.0)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// What changes storage.
#[derive(Debug, Clone)]
pub enum WriteOp {
    /// Lets a device in whose proof was verified.
    Admit(Admit),
    /// Stores blobs, all or none.
    Push(PushOp),
    /// Moves a device's acknowledged cursor forward.
    Acknowledge(Acknowledge),
    /// Notes when a device was last heard of.
    Seen(Seen),
    /// Lays down an invite.
    CreateInvite(CreateInvite),
    /// Takes an invite away, once.
    ClaimInvite(ClaimInvite),
    /// Takes an invite back.
    RevokeInvite(RevokeInvite),
}

/// A device whose proof of membership was verified against `key_log`, or against the log that the
/// store gave before.
#[derive(Debug, Clone)]
pub struct Admit {
    /// Its group.
    pub group: GroupId,
    /// The device.
    pub device: DeviceId,
    /// Its sealed name.
    pub name: Vec<u8>,
    /// The epoch whose key signed its proof.
    pub epoch: Epoch,
    /// The log that it brought, verified; the store keeps it when it is longer than its own.
    pub key_log: Option<KeyLog>,
    /// Up to here everything is the device's own, if `store_id` is the store's.
    pub last_cursor: Cursor,
    /// The store that `last_cursor` belongs to.
    pub store_id: StoreId,
    /// Whether the group may be made if it is not there.
    pub may_create: bool,
    /// The time.
    pub now: UnixMs,
}

/// One blob to store.
#[derive(Debug, Clone)]
pub struct NewBlob {
    /// The id that its sender chose.
    pub blob_id: BlobId,
    /// The sealed bytes.
    pub payload: Payload,
    /// Their hash.
    pub hash: BlobHash,
    /// When it may be dropped; `None`: never.
    pub expires_at: Option<UnixMs>,
}

/// Blobs of one device to store, all or none, in this order.
#[derive(Debug, Clone)]
pub struct PushOp {
    /// The group.
    pub group: GroupId,
    /// The sender.
    pub device: DeviceId,
    /// The epoch of its session.
    pub epoch: Epoch,
    /// At least one.
    pub blobs: Vec<NewBlob>,
    /// The time.
    pub now: UnixMs,
}

impl NewBlob {
    /// What every blob costs besides its payload, in bytes: about its row and the index entries for it.
    pub const OVERHEAD: usize = 128;

    /// What a blob of so long a payload counts for, in bytes.
    pub fn cost(payload: usize) -> usize {
        payload.saturating_add(Self::OVERHEAD)
    }
}

impl PushOp {
    /// What the blobs count for, in bytes.
    pub fn bytes(&self) -> usize {
        self.blobs.iter().map(|blob| NewBlob::cost(blob.payload.len())).sum()
    }
}

/// Everything up to `cursor` is durably the device's.
#[derive(Debug, Clone)]
pub struct Acknowledge {
    /// The group.
    pub group: GroupId,
    /// The device.
    pub device: DeviceId,
    /// Never moves backwards, never past the group's newest.
    pub cursor: Cursor,
    /// The time.
    pub now: UnixMs,
}

/// The device was heard of.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The group.
    pub group: GroupId,
    /// The device.
    pub device: DeviceId,
    /// The time.
    pub now: UnixMs,
}

/// An invite to lay down.
#[derive(Clone)]
pub struct CreateInvite {
    /// Under which name.
    pub lookup: String,
    /// What nobody here can open.
    pub payload: Vec<u8>,
    /// Until when.
    pub expires_at: UnixMs,
    /// SHA-256 of the token that takes it back.
    pub revoke_hash: [u8; 32],
    /// The time.
    pub now: UnixMs,
}

/// An invite to take.
#[derive(Clone)]
pub struct ClaimInvite {
    /// Under which name.
    pub lookup: String,
    /// SHA-256 of the claimer's own random id, by which it may repeat the call.
    pub claim_hash: Option<[u8; 32]>,
    /// The time.
    pub now: UnixMs,
}

/// An invite to take back.
#[derive(Clone)]
pub struct RevokeInvite {
    /// Under which name.
    pub lookup: String,
    /// SHA-256 of the token that was given at its making.
    pub revoke_hash: [u8; 32],
    /// The time.
    pub now: UnixMs,
}

/// Lookup keys and hashes of tokens are nobody's business.
macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("now", &self.now).finish_non_exhaustive()
            }
        }
    )*};
}
redacted!(CreateInvite, ClaimInvite, RevokeInvite);

/// What a write has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteResult {
    /// The device is in.
    Admitted(Admitted),
    /// The blobs are stored.
    Pushed(Pushed),
    /// The cursor stands where it should.
    Acknowledged,
    /// Noted.
    Seen,
    /// The invite lies there.
    InviteCreated,
    /// Here it is.
    InviteClaimed(ClaimedInvite),
    /// It is gone.
    InviteRevoked,
}

/// How a device was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The newest epoch of the group.
    pub epoch: Epoch,
    /// Up to here everything is the device's own.
    pub acked: Cursor,
}

/// What became of the blobs of one push, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// One for each.
    pub placed: Vec<Placed>,
}

/// Where a blob stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The blob.
    pub blob_id: BlobId,
    /// Its place in the log.
    pub cursor: Cursor,
    /// When it was first stored.
    pub stored_at: UnixMs,
    /// Whether that was just now: a repeated push is not.
    pub fresh: bool,
}

/// What a claimer gets.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimedInvite {
    /// The sealed invite.
    pub payload: Vec<u8>,
    /// Until when it would have lain there.
    pub expires_at: UnixMs,
}

impl fmt::Debug for ClaimedInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedInvite").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What only looks.
#[derive(Debug, Clone)]
pub enum ReadOp {
    /// The key log of a group.
    KeyLog {
        /// Which.
        group: GroupId,
    },
    /// What a device that comes in should know.
    Backlog {
        /// The group.
        group: GroupId,
        /// Up to here everything is the device's own; 0 when that was said of another store.
        last_cursor: Cursor,
        /// How many of the newest blobs to give, at most.
        limit: u32,
        /// Whether to give small payloads with them.
        inline: bool,
    },
    /// Blobs after a cursor.
    Pull(PullPage),
    /// The devices of a group that were not removed.
    Devices {
        /// Which.
        group: GroupId,
    },
    /// How an invite stands.
    Invite {
        /// Under which name.
        lookup: String,
        /// SHA-256 of the token that was given at its making.
        revoke_hash: [u8; 32],
        /// The time.
        now: UnixMs,
    },
    /// Totals.
    Stats,
}

/// One page of blobs.
#[derive(Debug, Clone, Copy)]
pub struct PullPage {
    /// The group.
    pub group: GroupId,
    /// Only blobs after this cursor.
    pub after: Cursor,
    /// At most so many; at least 1.
    pub limit: u32,
    /// At most so many bytes, counting [`PullPage::BLOB_OVERHEAD`] for each; but always one blob.
    pub max_bytes: usize,
}

impl PullPage {
    /// Room for everything but the payload in one entry of a page, in bytes.
    pub const BLOB_OVERHEAD: usize = 128;
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadResult {
    /// The log, if there is such a group.
    KeyLog(Option<KeyLog>),
    /// What a device that comes in should know.
    Backlog(Backlog),
    /// A page of blobs.
    Page(PullResponse),
    /// By device id; who is online is not storage's to say.
    Devices(Vec<DeviceRow>),
    /// How the invite stands.
    Invite(InviteStatus),
    /// Totals.
    Stats(Stats),
}

/// The state of a group's log for a device that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The newest cursor.
    pub max_cursor: Cursor,
    /// 1 + the highest cursor that was dropped without a trace before every device had it.
    pub oldest_cursor: Cursor,
    /// The id of the blob at the device's last cursor.
    pub at_cursor: Option<BlobId>,
    /// The newest blobs after the device's last cursor, in ascending order.
    pub newest: Vec<News>,
}

/// How an invite stands, for its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteStatus {
    /// It lies there.
    Pending,
    /// Someone took it.
    Claimed,
    /// Expired, revoked, or never there.
    Gone,
}

/// Totals of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Groups.
    pub groups: u64,
    /// Blobs of all groups.
    pub blobs: u64,
}

/// One stored blob, as the group's other sessions hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The blob.
    pub blob_id: BlobId,
    /// Its place in the log.
    pub cursor: Cursor,
    /// Who pushed it.
    pub sender: DeviceId,
    /// When it was stored.
    pub stored_at: UnixMs,
    /// Its length, in bytes.
    pub size: u32,
    /// The bytes, when few enough to travel along.
    pub payload: Option<Payload>,
}

/// What one commit has added to one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The group.
    pub group: GroupId,
    /// Who pushed.
    pub sender: DeviceId,
    /// The new blobs, in ascending order.
    pub blobs: Vec<News>,
}

impl Committed {
    /// What the others are to hear of a write that was committed; nothing of most.
    pub fn of(op: &WriteOp, result: &WriteResult) -> Option<Self> {
        let (WriteOp::Push(push), WriteResult::Pushed(pushed)) = (op, result) else {
            return None;
        };
        let news = |(blob, placed): (&NewBlob, &Placed)| {
            placed.fresh.then(|| News {
                blob_id: blob.blob_id,
                cursor: placed.cursor,
                sender: push.device,
                stored_at: placed.stored_at,
                size: u32::try_from(blob.payload.len()).unwrap_or(u32::MAX),
                payload: (blob.payload.len() <= MAX_INLINE_NOTIFY).then(|| blob.payload.clone()),
            })
        };
        let blobs: Vec<_> = push.blobs.iter().zip(&pushed.placed).filter_map(news).collect();
        (!blobs.is_empty()).then_some(Self { group: push.group, sender: push.device, blobs })
    }
}
