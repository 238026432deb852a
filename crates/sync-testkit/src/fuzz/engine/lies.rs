//! What the relay says instead of what it should.

use std::collections::VecDeque;

use sync_types::{Cursor, DeviceSecret, Envelope, GroupId, Message, PullResponse, Welcome};

use crate::fuzz::script::Script;
use crate::liar::{Say, into_stub};

/// Lies that wait for their occasion; each is told once.
#[derive(Debug, Default)]
pub(super) struct Lies {
    words: VecDeque<Lie>,
    envelopes: VecDeque<u8>,
    /// The last words, for saying them again in another place.
    last: Option<Message>,
}

#[derive(Debug)]
enum Lie {
    /// The truth: a lie may be for later.
    None,
    Silence,
    Twice,
    /// The words before these.
    Again,
    /// Bytes of the body changed, if it can still be read.
    Changed(Vec<(u16, u8)>),
    /// Something else altogether.
    Other(u8, Vec<u8>),
    /// A field of what is said often.
    Field {
        which: u8,
        at: u8,
        value: u64,
    },
}

impl Lies {
    /// One more lie of the script's.
    pub(super) fn add(&mut self, script: &mut Script<'_>) {
        let lie = match script.below(10) {
            0 => Lie::None,
            1 => Lie::Silence,
            2 => Lie::Twice,
            3 => Lie::Again,
            4 => {
                let changes = 1 + script.below(4);
                Lie::Changed((0..changes).map(|_| (script.u16(), script.byte())).collect())
            }
            5 => Lie::Other(script.byte(), script.chunk().to_vec()),
            6 => return self.envelopes.push_back(script.byte()),
            _ => Lie::Field { which: script.byte(), at: script.byte(), value: script.number() },
        };
        self.words.push_back(lie);
    }

    pub(super) fn instead_of(&mut self, say: Say) -> Vec<Message> {
        let message = say.message;
        let said = match self.words.pop_front() {
            None | Some(Lie::None) => vec![message],
            Some(Lie::Silence) => Vec::new(),
            Some(Lie::Twice) => vec![message.clone(), message],
            Some(Lie::Again) => vec![self.last.clone().unwrap_or(message)],
            Some(Lie::Changed(changes)) => vec![changed(message, &changes)],
            Some(Lie::Other(code, body)) => vec![Message::decode_body(code, &body).unwrap_or(message)],
            Some(Lie::Field { which, at, value }) => vec![field(message, which, at.into(), value)],
        };
        self.last = said.last().cloned().or(self.last.take());
        said
    }

    /// Who speaks, and for which group.
    pub(super) fn forge(&mut self, envelope: &mut Envelope) {
        match self.envelopes.pop_front() {
            Some(0..64) => envelope.sender_id = DeviceSecret::from_bytes([77; 32]).id(),
            Some(64..128) => envelope.group_id = GroupId([7; 32]),
            Some(128..192) => envelope.nonce.0[0] ^= 1,
            Some(192..) | None => {}
        }
    }
}

fn changed(message: Message, changes: &[(u16, u8)]) -> Message {
    let mut body = message.encode_body();
    for (at, byte) in changes {
        let len = body.len().max(1);
        if let Some(there) = body.get_mut(usize::from(*at) % len) {
            *there = *byte;
        }
    }
    Message::decode_body(message.msg_type(), &body).unwrap_or(message)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "other messages have no fields that matter more")]
fn field(message: Message, which: u8, at: usize, value: u64) -> Message {
    match message {
        Message::PullResponse(page) => page_field(page, which, at, value).into(),
        Message::Welcome(welcome) => welcome_field(welcome, which, value).into(),
        Message::Notify(mut notify) => {
            match which % 3 {
                0 => notify.cursor = cursor(value),
                1 => notify.size = value as u32,
                _ => notify.blob_id.0[at % 16] ^= value as u8,
            }
            notify.into()
        }
        Message::PushAck(mut ack) => {
            ack.cursor = cursor(value);
            ack.into()
        }
        Message::PushBatchAck(mut ack) => {
            if which & 1 == 0 {
                ack.stored.truncate(at);
            } else if let Some(stored) = ack.stored.get_mut(at) {
                stored.cursor = cursor(value);
            }
            ack.into()
        }
        Message::RotateAck(mut ack) => {
            (ack.epoch, ack.cursor) = (ack.epoch.wrapping_add(u32::from(which & 1)), cursor(value));
            ack.into()
        }
        other => other,
    }
}

fn page_field(mut page: PullResponse, which: u8, at: usize, value: u64) -> PullResponse {
    match which % 10 {
        0 => page.has_more ^= true,
        1 => page.max_cursor = cursor(value),
        2 => page.oldest_cursor = cursor(value),
        3 => page.blobs.truncate(at),
        _ if at >= page.blobs.len() => page.blobs.clear(),
        4 => page.blobs[at].cursor = cursor(value),
        5 => page.blobs[at].timestamp.0 = value,
        6 if page.blobs[at].payload.is_some() => into_stub(&mut page.blobs[at]),
        7 => {
            let sender = page.blobs[value as usize % page.blobs.len()].sender_id;
            page.blobs[at].sender_id = sender;
        }
        8 => drop(page.blobs.remove(at)),
        _ => {
            let blob = page.blobs[at].clone();
            page.blobs.push(blob);
        }
    }
    page
}

fn welcome_field(mut welcome: Welcome, which: u8, value: u64) -> Welcome {
    match which % 8 {
        0 => welcome.version = value as u16,
        1 => welcome.max_cursor = cursor(value),
        2 => welcome.store_id.0[0] ^= value as u8,
        3 => welcome.oldest_cursor = cursor(value),
        4 => welcome.epoch = value as u32,
        5 => welcome.max_blob_size = value as u32,
        6 => welcome.default_ttl = value as u32,
        _ => welcome.at_cursor = None,
    }
    welcome
}

fn cursor(value: u64) -> Cursor {
    Cursor::new(value).unwrap_or_default()
}
