//! The other end of a session: what a client would see of it.

use std::collections::BTreeMap;

use sync_relay_core::{Session, SessionNo};
use sync_types::channel::Channel;
use sync_types::{BlobId, Cursor, DeviceId, GroupId, Message, Nonce};

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) no: SessionNo,
    pub(super) session: Session,
    pub(super) channel: Channel,
    pub(super) device: DeviceId,
    /// The group that its HELLO named, if it has sent one.
    pub(super) group: Option<GroupId>,
    pub(super) welcomed: bool,
    pub(super) closed: bool,
    /// Requests without an answer, by their nonce.
    asked: BTreeMap<[u8; 24], Message>,
    nonces: u64,
}

impl Peer {
    pub(super) fn new(no: SessionNo, session: Session, channel: Channel, device: DeviceId) -> Self {
        Self {
            no,
            session,
            channel,
            device,
            group: None,
            welcomed: false,
            closed: false,
            asked: BTreeMap::new(),
            nonces: 0,
        }
    }

    pub(super) fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.nonces.to_be_bytes());
        Nonce(nonce)
    }

    pub(super) fn ask(&mut self, nonce: Nonce, message: &Message) {
        self.asked.insert(nonce.0, message.clone());
    }

    /// An answer is one to a question of this peer's, once, and fits it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is said is an answer")]
    pub(super) fn hear(&mut self, nonce: Nonce, message: &Message) {
        assert!(self.welcomed || matches!(message, Message::Welcome(_) | Message::Error(_)));
        match message {
            Message::Notify(_) | Message::Presence(_) => {}
            Message::Error(_) => drop(self.asked.remove(&nonce.0)),
            answer => {
                let asked = self.asked.remove(&nonce.0);
                let asked = asked.unwrap_or_else(|| panic!("{} that nobody asked for", answer.name()));
                assert!(answers(&asked, answer), "{asked:?} is answered by {answer:?}");
            }
        }
        self.welcomed |= matches!(message, Message::Welcome(_));
    }
}

fn answers(asked: &Message, answer: &Message) -> bool {
    match (asked, answer) {
        (Message::Hello(hello), Message::Welcome(welcome)) => welcome.version <= hello.version,
        (Message::Push(push), Message::PushAck(ack)) => push.blob_id == ack.blob_id,
        (Message::PushBatch(batch), Message::PushBatchAck(ack)) => {
            let ids: Vec<BlobId> = ack.stored.iter().map(|stored| stored.blob_id).collect();
            batch.blobs.iter().map(|blob| blob.blob_id).eq(ids)
        }
        (Message::Pull(pull), Message::PullResponse(page)) => {
            let cursors: Vec<Cursor> = page.blobs.iter().map(|blob| blob.cursor).collect();
            cursors.is_sorted_by(|a, b| a < b)
                && cursors.iter().all(|cursor| *cursor > pull.after_cursor)
                && page.max_cursor == cursors.last().copied().unwrap_or(pull.after_cursor)
                && page.blobs.iter().all(|blob| blob.payload.is_some() != blob.hash.is_some())
        }
        (Message::Delete(delete), Message::DeleteAck(ack)) => delete.blob_id == ack.blob_id,
        (Message::Rotate(_), Message::RotateAck(_))
        | (Message::Devices(_), Message::DevicesResponse(_))
        | (Message::Leave(_), Message::LeaveAck(_))
        | (Message::GroupDelete(_), Message::GroupDeleteAck(_)) => true,
        _ => false,
    }
}
