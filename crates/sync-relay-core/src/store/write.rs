//! The requests that change storage, and what they have done.

use sync_types::{BlobHash, BlobId, Cursor, DeviceId, Epoch, GroupId, KeyLog, Rotation, StoreId, UnixMs};

use super::invite::{ClaimInvite, ClaimedInvite, CreateInvite, RevokeInvite};
use super::payload::Payload;

/// What changes storage.
#[derive(Debug, Clone)]
pub enum WriteOp {
    /// Lets a device in whose proof was verified.
    Admit(Admit),
    /// Stores blobs, all or none.
    Push(PushOp),
    /// Moves a device's acknowledged cursor forward.
    Acknowledge(Acknowledge),
    /// Notes when devices were last heard of.
    Seen(Seen),
    /// Stores a rotation, and makes its recipients the group's devices.
    Rotate(Box<RotateOp>),
    /// Removes a blob, once every device has it.
    Delete(DeleteOp),
    /// Takes a device out of its group, at its own wish.
    Leave(LeaveOp),
    /// Erases a group, and remembers that it was.
    GroupDelete(GroupDeleteOp),
    /// Lays down an invite.
    CreateInvite(CreateInvite),
    /// Takes an invite away, once.
    ClaimInvite(ClaimInvite),
    /// Takes an invite back.
    RevokeInvite(RevokeInvite),
    /// Does a piece of what time asks for.
    Cleanup(Cleanup),
}

impl WriteOp {
    /// What the blobs that it brings count for, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Push(op) => op.bytes(),
            Self::Rotate(op) => NewBlob::cost(op.blob.payload.len()),
            Self::Admit(_)
            | Self::Acknowledge(_)
            | Self::Seen(_)
            | Self::Delete(_)
            | Self::Leave(_)
            | Self::GroupDelete(_)
            | Self::CreateInvite(_)
            | Self::ClaimInvite(_)
            | Self::RevokeInvite(_)
            | Self::Cleanup(_) => 0,
        }
    }

    /// How much work it is, counted in rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Push(op) => op.blobs.len(),
            Self::Seen(op) => op.devices.len(),
            Self::Rotate(op) => 1 + op.rotation.lockboxes.len(),
            Self::Cleanup(op) => op.most as usize,
            Self::Admit(_)
            | Self::Acknowledge(_)
            | Self::Delete(_)
            | Self::Leave(_)
            | Self::GroupDelete(_)
            | Self::CreateInvite(_)
            | Self::ClaimInvite(_)
            | Self::RevokeInvite(_) => 1,
        }
    }
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
    /// Where it would be made, as far as the driver knows and counts that.
    pub origin: Option<Origin>,
    /// The time.
    pub now: UnixMs,
}

/// Where a group was made: one of 256 heaps into which a driver throws all addresses, by a key of its own. Enough
/// to keep one address from taking all the room there is; too little for a store to tell who made which group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(pub u8);

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

/// Devices were heard of.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which, each with its group.
    pub devices: Vec<(GroupId, DeviceId)>,
    /// The time.
    pub now: UnixMs,
}

/// A rotation to store.
#[derive(Debug, Clone)]
pub struct RotateOp {
    /// The group.
    pub group: GroupId,
    /// The sender.
    pub device: DeviceId,
    /// The epoch of its session.
    pub epoch: Epoch,
    /// The newest cursor that the sender has read.
    pub after: Cursor,
    /// What the blob's payload says. Nothing of it was verified.
    pub rotation: Rotation,
    /// The blob that it becomes, which never expires.
    pub blob: NewBlob,
    /// The time.
    pub now: UnixMs,
}

/// A blob to remove.
#[derive(Debug, Clone)]
pub struct DeleteOp {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub device: DeviceId,
    /// The epoch of its session.
    pub epoch: Epoch,
    /// Which.
    pub blob_id: BlobId,
    /// The time.
    pub now: UnixMs,
}

/// A device that goes for good.
#[derive(Debug, Clone)]
pub struct LeaveOp {
    /// The group.
    pub group: GroupId,
    /// The device.
    pub device: DeviceId,
    /// The time.
    pub now: UnixMs,
}

/// A group to erase.
#[derive(Debug, Clone)]
pub struct GroupDeleteOp {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub device: DeviceId,
    /// The epoch of its session.
    pub epoch: Epoch,
    /// The time.
    pub now: UnixMs,
}

/// A piece of one chore. Whoever asks does so again from [`Cleaned::next`] until there is none, so that
/// no transaction is long.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// Which.
    pub chore: Chore,
    /// Where the piece before has ended; 0 at first.
    pub from: u64,
    /// About how many rows to change, at most.
    pub most: u32,
    /// The time.
    pub now: UnixMs,
}

/// What time asks of a store, in the order in which it is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Note that a cleanup begins; see [`decide::patience`](crate::decide::patience).
    Begin,
    /// Erase invites that nobody can ask for any more.
    Invites,
    /// Forget deleted groups whose time is over.
    Tombstones,
    /// Drop what has expired; what some device lacks becomes a stub.
    Expired,
    /// Let go of devices that were away for too long, of groups that nobody uses, and of stubs and
    /// deleted blobs that every device has acknowledged.
    Groups,
    /// Erase what is left of groups that are gone.
    Erase,
    /// Give room back to the system, where the store's file does not shrink by itself.
    Vacuum,
}

impl Chore {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::Begin,
        Self::Invites,
        Self::Tombstones,
        Self::Expired,
        Self::Groups,
        Self::Erase,
        Self::Vacuum,
    ];
}

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
    /// The rotation is stored.
    Rotated(Rotated),
    /// The blob is gone, or will go.
    Deleted(Deleted),
    /// The device is out.
    Left,
    /// The group is gone.
    GroupDeleted,
    /// The invite lies there.
    InviteCreated,
    /// Here it is.
    InviteClaimed(ClaimedInvite),
    /// It is gone.
    InviteRevoked,
    /// The piece is done.
    Cleaned(Cleaned),
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

/// What became of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The rotation's epoch.
    pub epoch: Epoch,
    /// Where it stands.
    pub placed: Placed,
    /// Devices that were removed by it.
    pub removed: Vec<DeviceId>,
}

/// What became of a blob that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is not there, any more or at all.
    Gone,
    /// It goes when every device has acknowledged it.
    Marked,
}

/// What a piece of a chore has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Rows changed or erased, about.
    pub rows: u64,
    /// Where to go on; `None`: the chore is done.
    pub next: Option<u64>,
}
