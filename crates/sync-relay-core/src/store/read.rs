//! The requests that only look, and what they find.

use sync_types::{BlobId, Cursor, DeviceId, DeviceRow, GroupId, KeyLog, PullResponse, UnixMs};

use super::committed::News;
use super::invite::InviteStatus;
use super::refusal::Refusal;

/// What only looks. Where it names a device, the device must be one of the group's.
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
        /// Who asks.
        device: DeviceId,
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
        /// Who asks.
        device: DeviceId,
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
    /// Who asks.
    pub device: DeviceId,
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
    /// Who asks has no place in the group, or the group is gone. A session that was let in before hears
    /// of it here, if by nothing else.
    Refused(Refusal),
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

/// Totals of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Groups.
    pub groups: u64,
    /// Blobs of all groups.
    pub blobs: u64,
}
