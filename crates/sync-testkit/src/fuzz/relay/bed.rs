//! The relay, its driver, and what is sent to it.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sync_e2ee::EpochSecret;
use sync_relay_core::store::{Admit, Chore, Cleanup, NewBlob, Payload, PushOp};
use sync_relay_core::{
    Committed, Hub, OpId, Output, Policy, ReadOp, ReadResult, Registration, RelayIdentity, Session,
    SessionNo, StoreReply, WriteOp, WriteResult,
};
use sync_types::channel::Initiator;
use sync_types::limits::MAX_UNAUTHENTICATED;
use sync_types::wire::Writer;
use sync_types::{
    AuthKey, BlobId, Cursor, DeviceId, DeviceSecret, Envelope, Epoch, GroupId, Hello, KeyLog,
    MembershipProof, Message, MonoMs, Now, RelaySecret, StoreId, UnixMs,
};

use super::check::Seen;
use super::peer::Peer;
use crate::MemoryStore;

/// Two members, and a stranger who knows the group's id.
pub(super) const PEERS: usize = 3;
pub(super) const STRANGER: usize = 2;
pub(super) const STORE_ID: StoreId = StoreId([5; 16]);
/// Unstored bytes of a session above which its driver does not read on.
pub(super) const READ_ON: usize = 16 * 1024;
/// 2026-01-01, in milliseconds.
const WALL: u64 = 1_767_225_600_000;
/// Most that a session may have to say to one thing that it was told.
const MAX_OUTPUTS: usize = 200;

/// A relay of small limits, which a small input reaches.
pub(super) fn policy() -> Policy {
    Policy {
        max_blob_size: 2048,
        max_group_storage: 12 * 1024,
        max_db_size: 32 * 1024,
        default_ttl: 3600,
        max_groups: 3,
        max_devices_per_group: 3,
        device_expiry: Duration::from_secs(90 * 24 * 60 * 60),
        messages_per_minute: 40,
        ..Policy::default()
    }
}

/// The group's secret in an epoch: what a member has, and a stranger has not.
pub(super) fn secret(epoch: Epoch) -> EpochSecret {
    let mut bytes = [3; 32];
    bytes[..4].copy_from_slice(&epoch.to_be_bytes());
    EpochSecret::from_bytes(bytes)
}

pub(super) fn group() -> GroupId {
    static GROUP: LazyLock<GroupId> = LazyLock::new(|| secret(0).keys().founds_group());
    *GROUP
}

/// A group that nobody here is in.
pub(super) fn other_group() -> GroupId {
    static GROUP: LazyLock<GroupId> = LazyLock::new(|| GroupId::of(&other_key()));
    *GROUP
}

fn other_key() -> AuthKey {
    EpochSecret::from_bytes([4; 32]).keys().auth_key()
}

pub(super) fn device(n: usize) -> DeviceSecret {
    DeviceSecret::from_bytes([10 + u8::try_from(n).expect("few"); 32])
}

/// The id of such a device: each costs a multiplication on the curve.
pub(super) fn device_id(n: usize) -> DeviceId {
    static IDS: LazyLock<[DeviceId; 10]> = LazyLock::new(|| std::array::from_fn(|n| device(n).id()));
    IDS[n]
}

/// The other group's one device.
pub(super) fn bystander() -> DeviceId {
    device_id(9)
}

/// Who waits for a write.
type Waiting = Option<(usize, SessionNo, OpId)>;

#[derive(Debug)]
pub(super) struct Bed {
    pub(super) relay: Arc<RelayIdentity>,
    pub(super) store: MemoryStore,
    pub(super) hub: Hub,
    pub(super) peers: [Option<Peer>; PEERS],
    pub(super) now: Now,
    pub(super) connections: usize,
    pub(super) bystander: SessionNo,
    pub(super) seen: Seen,
    /// Writes that each peer was let do, but for those that are free.
    pub(super) served: [u64; PEERS],
    queue: VecDeque<(Waiting, WriteOp)>,
    draws: u8,
}

impl Bed {
    /// With the other group in it, whose device is on-line and has pushed something.
    pub(super) fn new() -> Self {
        let relay = Arc::new(RelayIdentity {
            secret: RelaySecret::from_bytes([6; 32]),
            store_id: STORE_ID,
            name: "fuzzed".to_owned(),
            policy: policy(),
        });
        let store = MemoryStore::new(STORE_ID, policy());
        let now = Now { mono: MonoMs(0), unix: UnixMs(WALL) };
        let mut hub = Hub::new(policy().messages_per_minute);
        let bystander = hub.open();
        let registration = Registration { group: other_group(), device: self::bystander() };
        drop(hub.register(bystander, registration, now));
        let mut bed = Self {
            relay,
            store,
            hub,
            peers: [const { None }; PEERS],
            now,
            connections: 0,
            bystander,
            seen: Seen::default(),
            served: [0; PEERS],
            queue: VecDeque::new(),
            draws: 0,
        };
        bed.found_other_group();
        bed
    }

    fn found_other_group(&mut self) {
        let (group, device, now) = (other_group(), bystander(), self.now.unix);
        self.write_now(WriteOp::Admit(Admit {
            group,
            device,
            name: Vec::new(),
            epoch: 0,
            key_log: Some(KeyLog::new(other_key())),
            last_cursor: Cursor::ZERO,
            store_id: StoreId::NONE,
            may_create: true,
            origin: None,
            now,
        }));
        let payload = Payload::from(b"not yours".to_vec());
        let blob = NewBlob { blob_id: BlobId([1; 16]), hash: payload.hash(), payload, expires_at: None };
        self.write_now(WriteOp::Push(PushOp { group, device, epoch: 0, blobs: vec![blob], now }));
    }

    pub(super) fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([self.draws; 32])
    }

    fn seed(&mut self) -> [u8; 32] {
        self.draws = self.draws.wrapping_add(1);
        let mut seed = [0; 32];
        self.rng().fill_bytes(&mut seed);
        seed
    }

    pub(super) fn key_log(&self) -> Option<KeyLog> {
        let read = self.store.read_now(&ReadOp::KeyLog { group: group() });
        let ReadResult::KeyLog(log) = read else { panic!("{read:?}") };
        log
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.key_log().map_or(0, |log| log.epoch())
    }

    /// The newest cursor of what lies in the group.
    pub(super) fn newest(&self) -> Cursor {
        self.store.log(group()).last().map(|blob| blob.cursor).unwrap_or_default()
    }

    /// A new connection, through the handshake; an older one of the same peer is gone.
    pub(super) fn connect(&mut self, at: usize) {
        self.close(at);
        self.connections += 1;
        let (seed, device) = (self.seed(), device(at));
        let mut session = Session::new(Arc::clone(&self.relay), seed, self.now);
        let (initiator, first) = Initiator::start(&device, seed).expect("a first message");
        session.handle_frame(&first, self.now);
        let Some(Output::Send(second)) = session.poll_output() else { panic!("no answer to a handshake") };
        let introduced = initiator.read(&second).expect("an answer");
        let (mut channel, third) = introduced.finish().expect("a third message");
        channel.set_max_envelope(1 << 20);
        session.handle_frame(&third, self.now);
        self.peers[at] = Some(Peer::new(self.hub.open(), session, channel, device_id(at)));
        self.drive(at);
    }

    /// A proof of membership, and what the script makes of it. The stranger signs with a key of his own.
    pub(super) fn hello(&mut self, at: usize, change: impl FnOnce(&mut Hello)) {
        let log = self.key_log().unwrap_or_else(|| KeyLog::new(secret(0).keys().auth_key()));
        let Some(peer) = &mut self.peers[at] else { return };
        let mut hello = Hello {
            version: 1,
            device_name: vec![7; 16],
            group_id: group(),
            last_cursor: Cursor::ZERO,
            store_id: StoreId::NONE,
            epoch: log.epoch(),
            key_log: Some(log),
            proof: [0; 64],
            features: 0,
            access_token: None,
        };
        change(&mut hello);
        let keys = if at == STRANGER { EpochSecret::from_bytes([9; 32]) } else { secret(hello.epoch) }.keys();
        hello.proof = keys.prove(&MembershipProof {
            handshake_hash: peer.channel.handshake_hash(),
            group_id: &group(),
            epoch: hello.epoch,
            device_id: &peer.device,
        });
        peer.group.get_or_insert(group());
        self.send(at, &hello.into());
    }

    pub(super) fn send(&mut self, at: usize, message: &Message) {
        let now = self.now.unix;
        let Some(peer) = &mut self.peers[at] else { return };
        let nonce = peer.nonce();
        peer.ask(nonce, message);
        let bytes = Envelope::seal(message, peer.device, group(), now, nonce);
        self.send_bytes(at, &bytes);
    }

    /// In another's name, or for another group.
    pub(super) fn send_as(&mut self, at: usize, who: u8, message: &Message) {
        let now = self.now.unix;
        let Some(peer) = &mut self.peers[at] else { return };
        let group = if who & 1 == 0 { group() } else { other_group() };
        let sender = if who & 2 == 0 { peer.device } else { bystander() };
        let nonce = peer.nonce();
        if (group, sender) == (self::group(), peer.device) {
            peer.ask(nonce, message);
        }
        let bytes = Envelope::seal(message, sender, group, now, nonce);
        self.send_bytes(at, &bytes);
        if let Some(peer) = self.peers[at].as_ref().filter(|_| who & 3 != 0) {
            assert!(peer.closed || !peer.welcomed, "somebody speaks for another and is heard");
        }
    }

    /// Any body of any type, in a good envelope.
    pub(super) fn send_body(&mut self, at: usize, code: u8, body: &[u8]) {
        if let Ok(message) = Message::decode_body(code, body) {
            return self.send(at, &message);
        }
        let now = self.now.unix;
        let Some(peer) = &mut self.peers[at] else { return };
        let mut bytes = Envelope::seal(&sync_types::Devices.into(), peer.device, group(), now, peer.nonce());
        // The body of DEVICES is an empty array, in three bytes with its length.
        bytes.truncate(bytes.len() - 3);
        let mut w = Writer::default();
        w.bin(body);
        bytes.extend(w.finish());
        bytes[2..4].copy_from_slice(&[0xcc, code]);
        self.send_bytes(at, &bytes);
    }

    /// Any bytes, well encrypted.
    pub(super) fn send_bytes(&mut self, at: usize, bytes: &[u8]) {
        let Some(peer) = &mut self.peers[at] else { return };
        if peer.session.unstored() > READ_ON {
            return; // As a driver does.
        }
        for frame in peer.channel.seal(bytes).expect("an envelope") {
            self.send_frame(at, &frame);
        }
    }

    pub(super) fn send_frame(&mut self, at: usize, frame: &[u8]) {
        let now = self.now;
        if let Some(peer) = &mut self.peers[at] {
            peer.session.handle_frame(frame, now);
            self.drive(at);
        }
    }

    pub(super) fn close(&mut self, at: usize) {
        let now = self.now;
        if let Some(peer) = self.peers[at].take() {
            self.hub.unregister(peer.no, now);
            if let Some(op) = peer.session.farewell(now) {
                self.queue.push_back((None, op));
            }
            self.deliver();
        }
    }

    pub(super) fn shut_down(&mut self, at: usize) {
        let now = self.now;
        if let Some(peer) = &mut self.peers[at] {
            peer.session.handle_shutdown(now);
            self.drive(at);
        }
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now.mono.0 += ms;
        self.now.unix.0 += ms;
        let now = self.now;
        for at in 0..PEERS {
            if let Some(peer) = &mut self.peers[at] {
                peer.session.handle_timeout(now);
                let next = peer.session.poll_timeout();
                assert!(next.is_none_or(|next| next > now.mono), "a time-out that has passed");
                self.drive(at);
            }
        }
    }

    pub(super) fn clean(&mut self, chore: Chore, most: u32) {
        let mut from = Some(0);
        for _ in 0..1_000 {
            let Some(start) = from else { return };
            let op = WriteOp::Cleanup(Cleanup { chore, from: start, most, now: self.now.unix });
            from = match self.write_now(op) {
                Some(WriteResult::Cleaned(cleaned)) => cleaned.next,
                other => panic!("{chore:?} gave {other:?}"),
            };
        }
        panic!("{chore:?} has no end");
    }

    pub(super) fn write_now(&mut self, op: WriteOp) -> Option<WriteResult> {
        self.store.apply_now(&[op]).pop()?.ok()
    }

    /// Does what a session asks for, and looks at it.
    fn drive(&mut self, at: usize) {
        let now = self.now;
        let mut outputs = 0;
        while let Some(peer) = &mut self.peers[at] {
            let Some(output) = peer.session.poll_output() else { break };
            assert!(!peer.closed, "{output:?} after the close");
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "a session that does not stop talking");
            match output {
                Output::Send(frame) => self.hear(at, &frame),
                Output::Write { id, op } => {
                    let no = peer.no;
                    self.check_write(at, &op);
                    self.queue.push_back((Some((at, no, id)), op));
                }
                Output::Read { id, op } => {
                    self.check_read(at, &op);
                    let mut result = self.store.read_now(&op);
                    self.hub.mark_online(&op, &mut result, now);
                    if let Some(peer) = &mut self.peers[at] {
                        peer.session.handle_stored(id, StoreReply::Read(result), now);
                    }
                }
                Output::Register(registration) => {
                    let Registration { group: of, device } = registration;
                    assert_eq!((of, device), (group(), peer.device));
                    let bucket = self.hub.register(peer.no, registration, now);
                    peer.session.handle_registered(bucket);
                }
                Output::Presence { status } => self.hub.presence(peer.no, status, now),
                Output::Close { .. } => {
                    assert!(peer.session.is_closed());
                    peer.closed = true;
                    self.hub.unregister(peer.no, now);
                    self.queue.extend(peer.session.farewell(now).map(|op| (None, op)));
                }
            }
        }
        self.deliver();
    }

    /// A frame of the relay's: sound, in the relay's name, and not larger than may be.
    fn hear(&mut self, at: usize, frame: &[u8]) {
        let relay = DeviceId::from(self.relay.secret.key());
        let most = self.relay.policy.max_envelope();
        let Some(peer) = &mut self.peers[at] else { return };
        let Some(bytes) = peer.channel.open(frame).expect("a frame of this channel") else { return };
        assert!(bytes.len() <= if peer.welcomed { most } else { MAX_UNAUTHENTICATED });
        let (envelope, message) = Envelope::open(&bytes).expect("an envelope");
        let message = message.expect("a message");
        assert_eq!(envelope.sender_id, relay);
        assert!(envelope.group_id == group() || matches!(message, Message::Error(_)));
        peer.hear(envelope.nonce, &message);
        self.check_heard(at, &message);
    }

    /// Hands out what the hub has for its sessions.
    fn deliver(&mut self) {
        while let Some(no) = self.hub.poll_woken() {
            assert_ne!(no, self.bystander, "another group hears of this one");
            let Some(at) = self.peers.iter().position(|peer| peer.as_ref().is_some_and(|p| p.no == no))
            else {
                continue;
            };
            self.take(at);
        }
        // A session that was not ready when it was woken takes its deliveries when it is.
        (0..PEERS).for_each(|at| self.take(at));
    }

    fn take(&mut self, at: usize) {
        let now = self.now;
        let mut taken = 0;
        while let Some(peer) = self.peers[at].as_mut().filter(|peer| peer.session.wants_deliveries()) {
            let Some(delivery) = self.hub.take(peer.no) else { break };
            peer.session.handle_delivery(delivery, now);
            taken += 1;
        }
        self.check_taken(taken);
        if taken > 0 {
            self.drive(at);
        }
    }

    /// Everything queued becomes one transaction; then its answers go out.
    pub(super) fn commit(&mut self) {
        while !self.queue.is_empty() {
            let queue: Vec<_> = std::mem::take(&mut self.queue).into();
            let ops: Vec<_> = queue.iter().map(|(_, op)| op.clone()).collect();
            let outcomes = self.store.apply_now(&ops);
            for ((waiting, op), outcome) in queue.into_iter().zip(outcomes) {
                if let Some(committed) = outcome.as_ref().ok().and_then(|result| Committed::of(&op, result)) {
                    self.hub.committed(&committed);
                }
                self.answer(waiting, StoreReply::Written(outcome));
            }
            self.deliver();
        }
    }

    /// The disk is full, or gone: nothing of what was asked happens.
    pub(super) fn storage_fails(&mut self) {
        for (waiting, _) in std::mem::take(&mut self.queue) {
            self.answer(waiting, StoreReply::Unavailable);
        }
    }

    fn answer(&mut self, waiting: Waiting, reply: StoreReply) {
        let now = self.now;
        if let Some((at, no, id)) = waiting
            && let Some(peer) = self.peers[at].as_mut().filter(|peer| peer.no == no)
        {
            peer.session.handle_stored(id, reply, now);
            self.drive(at);
        }
    }
}
