//! Messages as JSON: what the vectors say that bytes mean. Byte strings are hexadecimal.

use serde_json::{Map, Value, json};
use sync_types::*;

use crate::file::hex;

/// The fields of a message, by name.
pub(crate) fn fields(message: &Message) -> Value {
    match message {
        Message::Hello(m) => m.describe(),
        Message::Welcome(m) => m.describe(),
        Message::Push(m) => m.describe(),
        Message::PushAck(m) => m.describe(),
        Message::PushBatch(m) => m.describe(),
        Message::PushBatchAck(m) => m.describe(),
        Message::Pull(m) => m.describe(),
        Message::PullResponse(m) => m.describe(),
        Message::Ack(m) => m.describe(),
        Message::Presence(Presence::Own(status)) => json!({ "status": status }),
        Message::Presence(Presence::Peer(m)) => m.describe(),
        Message::Notify(m) => m.describe(),
        Message::Delete(m) => m.describe(),
        Message::DeleteAck(m) => m.describe(),
        Message::DevicesResponse(m) => m.describe(),
        Message::Rotate(m) => m.describe(),
        Message::RotateAck(m) => m.describe(),
        Message::Devices(Devices)
        | Message::Leave(Leave)
        | Message::LeaveAck(LeaveAck)
        | Message::GroupDelete(GroupDelete)
        | Message::GroupDeleteAck(GroupDeleteAck) => json!({}),
        Message::Error(m) => m.describe(),
    }
}

/// The header of an envelope.
pub(crate) fn header(envelope: &Envelope) -> Value {
    envelope.describe()
}

/// A key log.
pub(crate) fn key_log(log: &KeyLog) -> Value {
    log.describe()
}

/// One link of a key log.
pub(crate) fn key_link(link: &KeyLink) -> Value {
    link.describe()
}

/// A rotation, as a relay sees it.
pub(crate) fn rotation(rotation: &Rotation) -> Value {
    rotation.describe()
}

trait Describe {
    fn describe(&self) -> Value;
}

/// Describes a structure field by field, and does not compile when one is forgotten.
macro_rules! structure {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Describe for $name {
            fn describe(&self) -> Value {
                let Self { $($field),* } = self;
                let mut object = Map::new();
                $(object.insert(stringify!($field).to_owned(), $field.describe());)*
                Value::Object(object)
            }
        }
    )*};
}

structure! {
    Envelope { msg_type, sender_id, group_id, cursor, timestamp, nonce }
    Hello {
        version, device_name, group_id, last_cursor, store_id, epoch, key_log, proof, features, access_token
    }
    Welcome {
        version, relay_id, max_cursor, pending_count, store_id, oldest_cursor, at_cursor, epoch,
        max_blob_size, default_ttl, features
    }
    Push { blob_id, payload, ttl }
    PushAck { blob_id, cursor, timestamp }
    PushBatch { blobs }
    Stored { blob_id, cursor }
    PushBatchAck { stored, timestamp }
    Pull { after_cursor, limit }
    StoredBlob { blob_id, cursor, sender_id, payload, timestamp, hash }
    PullResponse { blobs, has_more, max_cursor, oldest_cursor }
    Ack { cursor }
    PeerPresence { device_id, status, last_seen }
    Notify { blob_id, cursor, sender_id, timestamp, size, payload }
    Delete { blob_id }
    DeleteAck { blob_id, state }
    DeviceRow { device_id, device_name, acked_cursor, last_seen, online }
    DevicesResponse { devices }
    Rotate { blob_id, after, payload }
    RotateAck { epoch, cursor }
    ErrorBody { code, message, retry_after_ms }
    KeyLog { genesis, links }
    KeyLink { auth_key, content_hash, signature }
    Lockbox { device_id, sealed }
    Rotation { epoch, auth_key, lockboxes, inner, signature }
}

macro_rules! by {
    ($($type:ty => |$value:ident| $how:expr),* $(,)?) => {$(
        impl Describe for $type {
            fn describe(&self) -> Value {
                let $value = self;
                $how
            }
        }
    )*};
}

by! {
    u8 => |n| json!(n),
    u16 => |n| json!(n),
    u32 => |n| json!(n),
    bool => |b| json!(b),
    String => |s| json!(s),
    AccessToken => |t| json!(t.expose_str()),
    Cursor => |c| json!(c.get()),
    UnixMs => |t| json!(t.0),
    Vec<u8> => |b| json!(hex(b)),
    [u8; 32] => |b| json!(hex(b)),
    [u8; 64] => |b| json!(hex(b)),
    [u8; rotation::LOCKBOX] => |b| json!(hex(b)),
    DeviceId => |id| json!(hex(id.as_ref())),
    GroupId => |id| json!(hex(id.as_ref())),
    BlobId => |id| json!(hex(id.as_ref())),
    StoreId => |id| json!(hex(id.as_ref())),
    Nonce => |id| json!(hex(id.as_ref())),
    BlobHash => |id| json!(hex(id.as_ref())),
    AuthKey => |id| json!(hex(id.as_ref())),
    Vec<Push> => |list| each(list),
    Vec<Stored> => |list| each(list),
    Vec<StoredBlob> => |list| each(list),
    Vec<DeviceRow> => |list| each(list),
    Vec<KeyLink> => |list| each(list),
    Vec<Lockbox> => |list| each(list),
}

fn each<T: Describe>(list: &[T]) -> Value {
    list.iter().map(Describe::describe).collect()
}

impl<T: Describe> Describe for Option<T> {
    fn describe(&self) -> Value {
        self.as_ref().map_or(Value::Null, Describe::describe)
    }
}
