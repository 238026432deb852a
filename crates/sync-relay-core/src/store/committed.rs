//! What a commit means for the sessions of its group.

use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{BlobId, Cursor, DeviceId, GroupId, UnixMs};

use super::payload::Payload;
use super::write::{NewBlob, Placed, WriteOp, WriteResult};

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

/// What one commit means for the sessions of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The group.
    pub group: GroupId,
    /// Whose request it was.
    pub sender: DeviceId,
    /// The new blobs, in ascending order: news for the others.
    pub blobs: Vec<News>,
    /// Whose sessions end.
    pub ended: Ended,
}

/// Whose sessions a commit ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Those of devices that were removed.
    Devices(Vec<DeviceId>),
    /// All, since the group was deleted.
    Group,
}

impl Committed {
    /// What the group's sessions are to hear of a write that was committed; nothing of most.
    pub fn of(op: &WriteOp, result: &WriteResult) -> Option<Self> {
        match (op, result) {
            (WriteOp::Push(op), WriteResult::Pushed(pushed)) => {
                let news = |(blob, placed): (&NewBlob, &Placed)| news(op.device, blob, placed);
                let blobs: Vec<_> = op.blobs.iter().zip(&pushed.placed).filter_map(news).collect();
                let ended = Ended::Devices(Vec::new());
                (!blobs.is_empty()).then_some(Self { group: op.group, sender: op.device, blobs, ended })
            }
            (WriteOp::Rotate(op), WriteResult::Rotated(rotated)) => Some(Self {
                group: op.group,
                sender: op.device,
                blobs: news(op.device, &op.blob, &rotated.placed).into_iter().collect(),
                ended: Ended::Devices(rotated.removed.clone()),
            }),
            (WriteOp::Leave(op), WriteResult::Left) => Some(Self {
                group: op.group,
                sender: op.device,
                blobs: Vec::new(),
                ended: Ended::Devices(vec![op.device]),
            }),
            (WriteOp::GroupDelete(op), WriteResult::GroupDeleted) => {
                Some(Self { group: op.group, sender: op.device, blobs: Vec::new(), ended: Ended::Group })
            }
            _ => None,
        }
    }
}

fn news(sender: DeviceId, blob: &NewBlob, placed: &Placed) -> Option<News> {
    placed.fresh.then(|| News {
        blob_id: blob.blob_id,
        cursor: placed.cursor,
        sender,
        stored_at: placed.stored_at,
        size: u32::try_from(blob.payload.len()).unwrap_or(u32::MAX),
        payload: (blob.payload.len() <= MAX_INLINE_NOTIFY).then(|| blob.payload.clone()),
    })
}
