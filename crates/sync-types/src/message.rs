//! Every message of the protocol: one enum, one registry of type numbers.

mod blobs;
mod control;
mod hello;

pub use blobs::*;
pub use control::*;
pub use hello::*;

use crate::Cursor;
use crate::wire::{DecodeError, decode, encode};

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $code:literal,)*) => {
        /// A message: what stands in an envelope's payload.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $($(#[$doc])* $name($body),)*
        }

        impl Message {
            /// The number of the message's type.
            pub fn msg_type(&self) -> u8 {
                match self {
                    $(Self::$name(_) => $code,)*
                }
            }

            /// The message's name in the protocol's description, for logs and counters.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// The body alone, as it stands in an envelope's payload.
            pub fn encode_body(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(body) => encode(body),)*
                }
            }

            /// Reads a body of a given type.
            pub fn decode_body(msg_type: u8, body: &[u8]) -> Result<Self, DecodeError> {
                match msg_type {
                    $($code => decode(body).map(Self::$name),)*
                    _ => Err(DecodeError::UnknownType),
                }
            }
        }

        $(impl From<$body> for Message {
            fn from(body: $body) -> Self {
                Self::$name(body)
            }
        })*
    };
}

messages! {
    /// Client: who I am, and proof that I belong to the group.
    Hello(Hello) = 0x01,
    /// Relay: you are in.
    Welcome(Welcome) = 0x02,
    /// Client: store this.
    Push(Push) = 0x10,
    /// Relay: stored, durably.
    PushAck(PushAck) = 0x11,
    /// Client: store these in one transaction, in this order.
    PushBatch(PushBatch) = 0x12,
    /// Relay: all stored, durably.
    PushBatchAck(PushBatchAck) = 0x13,
    /// Client: what is there after a cursor?
    Pull(Pull) = 0x20,
    /// Relay: this.
    PullResponse(PullResponse) = 0x21,
    /// Client: everything up to here is durably mine. No reply.
    Ack(Ack) = 0x22,
    /// Client: I am here; the relay echoes it, and tells the others.
    Presence(Presence) = 0x30,
    /// Relay: there is a new blob.
    Notify(Notify) = 0x31,
    /// Client: remove a blob once everyone has it.
    Delete(Delete) = 0x40,
    /// Relay: deleted, or marked.
    DeleteAck(DeleteAck) = 0x41,
    /// Client: who is in the group, as far as the relay knows?
    Devices(Devices) = 0x50,
    /// Relay: these.
    DevicesResponse(DevicesResponse) = 0x51,
    /// Client: the group has a new key.
    Rotate(Rotate) = 0x52,
    /// Relay: it has.
    RotateAck(RotateAck) = 0x53,
    /// Client: this device goes for good.
    Leave(Leave) = 0x54,
    /// Relay: gone.
    LeaveAck(LeaveAck) = 0x55,
    /// Client: erase everything of the group.
    GroupDelete(GroupDelete) = 0x56,
    /// Relay: erased.
    GroupDeleteAck(GroupDeleteAck) = 0x57,
    /// Relay: no, and why.
    Error(ErrorBody) = 0xff,
}

impl Message {
    /// The cursor of the one blob that the message is about, else 0.
    pub fn about(&self) -> Cursor {
        match self {
            Self::PushAck(m) => m.cursor,
            Self::Notify(m) => m.cursor,
            Self::RotateAck(m) => m.cursor,
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Push(_)
            | Self::PushBatch(_)
            | Self::PushBatchAck(_)
            | Self::Pull(_)
            | Self::PullResponse(_)
            | Self::Ack(_)
            | Self::Presence(_)
            | Self::Delete(_)
            | Self::DeleteAck(_)
            | Self::Devices(_)
            | Self::DevicesResponse(_)
            | Self::Rotate(_)
            | Self::Leave(_)
            | Self::LeaveAck(_)
            | Self::GroupDelete(_)
            | Self::GroupDeleteAck(_)
            | Self::Error(_) => Cursor::ZERO,
        }
    }
}

/// A message without fields: an empty array.
macro_rules! empty {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name;

        impl crate::wire::Wire for $name {
            fn put(&self, w: &mut crate::wire::Writer) {
                w.array(0);
            }
            fn take(r: &mut crate::wire::Reader<'_>) -> Result<Self, DecodeError> {
                r.array(0).map(|()| Self)
            }
        }
    )*};
}
use empty;
