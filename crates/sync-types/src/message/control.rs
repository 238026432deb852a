//! Messages about devices, the group's key, and refusals.

use super::empty;
use crate::record;
use crate::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use crate::{BlobId, Cursor, DeviceId, Epoch, ErrorCode, UnixMs};

/// Most entries that a client reads from one DEVICES_RESPONSE.
const MAX_DEVICES: usize = 10_000;

record! {
    /// What the relay says of another device's presence.
    pub struct PeerPresence {
        /// The device.
        device_id: DeviceId,
        /// 0 when its connection closed.
        status: u8,
        /// When the relay last heard of it.
        last_seen: UnixMs,
    }
}

/// 0x30, in one of two shapes, told apart by the length of the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// `[status]`, client → relay, and the relay's echo to the same client. 0: away; 1: here; other
    /// values are the app's.
    Own(u8),
    /// `[device_id, status, last_seen]`, relay → the group's other sessions.
    Peer(PeerPresence),
}

impl Wire for Presence {
    fn put(&self, w: &mut Writer) {
        match self {
            Self::Own(status) => {
                w.array(1);
                status.put(w);
            }
            Self::Peer(peer) => peer.put(w),
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.clone().array_len()? == 1 {
            r.array(1)?;
            return u8::take(r).map(Self::Own);
        }
        PeerPresence::take(r).map(Self::Peer)
    }
}

empty! {
    /// 0x50, client → relay.
    Devices,
    /// 0x54, client → relay.
    Leave,
    /// 0x55, relay → client.
    LeaveAck,
    /// 0x56, client → relay.
    GroupDelete,
    /// 0x57, relay → client.
    GroupDeleteAck,
}

record! {
    /// One entry of DEVICES_RESPONSE.
    pub struct DeviceRow {
        /// The device.
        device_id: DeviceId,
        /// Its name, sealed for members.
        device_name: Vec<u8>,
        /// Up to here everything is durably its own.
        acked_cursor: Cursor,
        /// When the relay last heard of it.
        last_seen: UnixMs,
        /// Whether it is connected now.
        online: bool,
    }
}

/// 0x51, relay → client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicesResponse {
    /// Every device of the group that was not removed, by device id.
    pub devices: Vec<DeviceRow>,
}

impl Wire for DevicesResponse {
    fn put(&self, w: &mut Writer) {
        w.array(1);
        put_list(&self.devices, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(1)?;
        Ok(Self { devices: take_list(r, MAX_DEVICES)? })
    }
}

record! {
    /// 0x52, client → relay.
    pub struct Rotate {
        /// The id of the blob that the rotation becomes.
        blob_id: BlobId,
        /// The newest cursor that the sender has read: the rotation is stored right after it, or
        /// not at all.
        after: Cursor,
        /// An encoded [`Rotation`](crate::Rotation).
        payload: Vec<u8>,
    }
}

record! {
    /// 0x53, relay → client.
    pub struct RotateAck {
        /// The group's new epoch.
        epoch: Epoch,
        /// The rotation's place in the log.
        cursor: Cursor,
    }
}

record! {
    /// 0xFF, relay → client: the request with this envelope's nonce was refused.
    pub struct ErrorBody {
        /// See [`ErrorCode`]; a newer relay may send a number that this build does not know.
        code: u16,
        /// For people, in English.
        message: String,
        /// When to try again, in milliseconds from now.
        retry_after_ms: Option<u32>,
    }
}

impl ErrorBody {
    /// A refusal with the code's own sentence.
    pub fn new(code: ErrorCode) -> Self {
        Self::because(code, code.to_string())
    }

    /// A refusal with a sentence that says more than the code's own.
    pub fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.as_u16(), message: message.into(), retry_after_ms: None }
    }

    /// Says when to try again.
    pub fn retry_after_ms(self, millis: u32) -> Self {
        Self { retry_after_ms: Some(millis), ..self }
    }
}
