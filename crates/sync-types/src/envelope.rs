//! The frame around every message.

use crate::wire::{DecodeError, Reader, Wire, Writer};
use crate::{Cursor, DeviceId, GroupId, Message, Nonce, UnixMs};

/// The version that every envelope starts with.
pub const ENVELOPE_VERSION: u8 = 1;

/// What every message says besides its body: an array of eight, the body (as a byte string) last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The type of the body; see [`Message::msg_type`].
    pub msg_type: u8,
    /// The device that sends; the relay's key in what a relay sends.
    pub sender_id: DeviceId,
    /// The group that both ends speak about; [`GroupId::NONE`] in a refusal before HELLO was read.
    pub group_id: GroupId,
    /// The cursor of the blob that the message is about; 0 when it is not about one blob.
    pub cursor: Cursor,
    /// When it was sent, by the sender's clock.
    pub timestamp: UnixMs,
    /// Random and unique; a reply carries the nonce of the request that it answers.
    pub nonce: Nonce,
}

impl Envelope {
    /// Encodes a message in its envelope.
    pub fn seal(
        message: &Message,
        sender_id: DeviceId,
        group_id: GroupId,
        timestamp: UnixMs,
        nonce: Nonce,
    ) -> Vec<u8> {
        let body = message.encode_body();
        let mut w = Writer::with_capacity(body.len() + 160);
        w.array(8);
        ENVELOPE_VERSION.put(&mut w);
        message.msg_type().put(&mut w);
        sender_id.put(&mut w);
        group_id.put(&mut w);
        message.about().put(&mut w);
        timestamp.put(&mut w);
        nonce.put(&mut w);
        w.bin(&body);
        w.finish()
    }

    /// Reads an envelope, and the message in it apart: a sound envelope with a body that is wrong or
    /// of an unknown type can still be answered.
    pub fn open(bytes: &[u8]) -> Result<(Self, Result<Message, DecodeError>), DecodeError> {
        let mut r = Reader::new(bytes);
        r.array(8)?;
        if u8::take(&mut r)? != ENVELOPE_VERSION {
            return Err(DecodeError::UnknownVersion);
        }
        let envelope = Self {
            msg_type: u8::take(&mut r)?,
            sender_id: DeviceId::take(&mut r)?,
            group_id: GroupId::take(&mut r)?,
            cursor: Cursor::take(&mut r)?,
            timestamp: UnixMs::take(&mut r)?,
            nonce: Nonce::take(&mut r)?,
        };
        let body = r.bin()?;
        r.finish()?;
        let message = Message::decode_body(envelope.msg_type, body).and_then(|message| {
            if message.about() == envelope.cursor { Ok(message) } else { Err(DecodeError::OutOfRange) }
        });
        Ok((envelope, message))
    }
}
