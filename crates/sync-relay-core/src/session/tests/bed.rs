//! A session with a peer in front of it; storage and hub are played by the test.

use ed25519_dalek::{Signer, SigningKey};
use sync_types::channel::{Channel, Initiator};
use sync_types::*;

use super::super::*;
use crate::store::{Backlog, ReadResult};

/// The group's signing key, id and log.
pub(super) fn group() -> (SigningKey, GroupId, KeyLog) {
    let key = SigningKey::from_bytes(&[8; 32]);
    let log = KeyLog::new(AuthKey(key.verifying_key().to_bytes()));
    (key, GroupId::of(&log.genesis), log)
}

pub(super) fn device() -> DeviceSecret {
    DeviceSecret::from_bytes([7; 32])
}

pub(super) fn relay() -> Arc<RelayIdentity> {
    Arc::new(RelayIdentity {
        secret: RelaySecret::from_bytes([6; 32]),
        store_id: StoreId([5; 16]),
        name: "test".to_owned(),
        policy: Policy::default(),
    })
}

pub(super) fn hello(bed: &Bed) -> Hello {
    let (key, group_id, log) = group();
    let proof = MembershipProof {
        handshake_hash: bed.peer.handshake_hash(),
        group_id: &group_id,
        epoch: 0,
        device_id: &device().id(),
    };
    Hello {
        version: 1,
        device_name: vec![],
        group_id,
        last_cursor: Cursor::ZERO,
        store_id: StoreId::NONE,
        epoch: 0,
        key_log: Some(log),
        proof: key.sign(&proof.transcript()).to_bytes(),
        features: 0,
        access_token: None,
    }
}

pub(super) fn push(id: u8, len: usize) -> Push {
    Push { blob_id: BlobId([id; 16]), payload: vec![0; len], ttl: None }
}

/// A rotation that nobody has signed: to a session that makes no difference.
pub(super) fn rotate() -> Rotate {
    let lockbox = Lockbox { device_id: device().id(), sealed: [0; rotation::LOCKBOX] };
    let rotation = Rotation {
        epoch: 1,
        auth_key: AuthKey([1; 32]),
        lockboxes: vec![lockbox],
        inner: vec![],
        signature: [0; 64],
    };
    Rotate { blob_id: BlobId([1; 16]), after: Cursor::new(5).unwrap(), payload: rotation.encode() }
}

pub(super) fn news(cursor: u64) -> News {
    News {
        blob_id: BlobId([0; 16]),
        cursor: Cursor::new(cursor).unwrap(),
        sender: device().id(),
        stored_at: UnixMs(0),
        size: 0,
        payload: None,
    }
}

pub(super) fn backlog() -> Backlog {
    Backlog { max_cursor: Cursor::ZERO, oldest_cursor: Cursor::ZERO.next(), at_cursor: None, newest: vec![] }
}

pub(super) struct Bed {
    pub(super) session: Session,
    pub(super) now: Now,
    pub(super) peer: Channel,
}

impl Bed {
    /// Through the handshake.
    pub(super) fn new() -> Self {
        let now = Now::default();
        let mut session = Session::new(relay(), [1; 32], now);
        let (initiator, first) = Initiator::start(&device(), [2; 32]).unwrap();
        session.handle_frame(&first, now);
        let Some(Output::Send(second)) = session.poll_output() else { panic!("no answer") };
        let (peer, third) = initiator.read(&second).unwrap().finish().unwrap();
        session.handle_frame(&third, now);
        assert!(session.poll_output().is_none());
        Self { session, now, peer }
    }

    /// Through HELLO, with three requests to storage behind it.
    pub(super) fn ready() -> Self {
        let mut bed = Self::new();
        bed.send(hello(&bed));
        bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
        bed.answer(2, super::admitted(0));
        bed.session.handle_registered(Arc::new(Bucket::new(100)));
        bed.answer(3, StoreReply::Read(ReadResult::Backlog(backlog())));
        assert_eq!(bed.out().last().unwrap(), "Welcome");
        bed
    }

    pub(super) fn envelope(&self, message: &Message) -> Vec<u8> {
        Envelope::seal(message, device().id(), group().1, UnixMs(0), Nonce([3; 24]))
    }

    pub(super) fn send(&mut self, message: impl Into<Message>) {
        self.send_envelope(&self.envelope(&message.into()));
    }

    pub(super) fn send_envelope(&mut self, envelope: &[u8]) {
        for frame in self.peer.seal(envelope).unwrap() {
            self.session.handle_frame(&frame, self.now);
        }
    }

    pub(super) fn answer(&mut self, id: u64, reply: StoreReply) {
        self.session.handle_stored(OpId(id), reply, self.now);
    }

    /// What came out, each as a few words.
    pub(super) fn out(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(frame) => {
                    if let Some(envelope) = self.peer.open(&frame).unwrap() {
                        let (_, message) = Envelope::open(&envelope).unwrap();
                        out.push(message_in_words(&message.unwrap()));
                    }
                }
                Output::Write { op, .. } => out.push(write_in_words(&op)),
                Output::Read { op, .. } => {
                    let text = format!("{op:?}");
                    let name: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
                    out.push(format!("read {name}"));
                }
                Output::Register(_) => out.push("register".to_owned()),
                Output::Presence { status } => out.push(format!("presence {status}")),
                Output::Close { code, .. } => out.push(format!("close {code}")),
            }
        }
        out
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most messages are named only")]
fn message_in_words(message: &Message) -> String {
    match message {
        Message::Error(error) => match error.retry_after_ms {
            Some(millis) => format!("Error {} retry {millis}", error.code),
            None => format!("Error {}", error.code),
        },
        Message::Notify(notify) => format!("Notify {}", notify.cursor),
        Message::PushAck(ack) => format!("PushAck {}", ack.cursor),
        Message::RotateAck(ack) => format!("RotateAck {} {}", ack.epoch, ack.cursor),
        Message::DeleteAck(ack) => format!("DeleteAck {}", ack.state),
        other => other.name().to_owned(),
    }
}

fn write_in_words(op: &WriteOp) -> String {
    match op {
        WriteOp::Admit(_) => "write Admit".to_owned(),
        WriteOp::Push(_) => "write Push".to_owned(),
        WriteOp::Acknowledge(ack) => format!("write Acknowledge {}", ack.cursor),
        WriteOp::Rotate(op) => format!("write Rotate {} after {}", op.rotation.epoch, op.after),
        WriteOp::Delete(_) => "write Delete".to_owned(),
        WriteOp::Leave(_) => "write Leave".to_owned(),
        WriteOp::GroupDelete(_) => "write GroupDelete".to_owned(),
        WriteOp::Seen(_)
        | WriteOp::CreateInvite(_)
        | WriteOp::ClaimInvite(_)
        | WriteOp::RevokeInvite(_)
        | WriteOp::Cleanup(_) => "write something else".to_owned(),
    }
}
