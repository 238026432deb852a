//! The relay: honest by default, with a place for every lie.
//!
//! It holds one group, takes what real clients send through the real channel, and serves it as the
//! protocol says. A test changes what it says by editing the [log](Liar::log), by a [view](Liar::view)
//! of that log for some device, or by putting [words](Liar::words) into its mouth.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use sync_types::channel::{Channel, Responder};
use sync_types::limits::{DEFAULT_MAX_BLOB, MAX_INLINE_NOTIFY, PROTOCOL_VERSION};
use sync_types::{
    BlobId, Cursor, DeviceId, DeviceRow, DevicesResponse, Envelope, Epoch, ErrorBody, ErrorCode,
    GroupDeleteAck, GroupId, Hello, KeyLog, LeaveAck, MembershipProof, Message, Nonce, Notify, PeerPresence,
    Presence, Pull, PullResponse, Push, PushAck, PushBatchAck, RelayKey, RelaySecret, Rotate, RotateAck,
    Rotation, StoreId, Stored, StoredBlob, UnixMs, Welcome,
};

/// Which connection belongs to which device of the world.
pub(super) type Number = usize;

/// What the relay is about to say to a device, and what it answers.
#[derive(Debug, Clone)]
pub struct Say {
    /// The device, by its number.
    pub to: usize,
    /// The request, if this is an answer.
    pub request: Option<Message>,
    /// An honest relay's words.
    pub message: Message,
}

/// The log as one device is shown it.
pub type View = Box<dyn FnMut(usize, Vec<StoredBlob>) -> Vec<StoredBlob>>;
/// What is said instead; nothing, if that is empty.
pub type Words = Box<dyn FnMut(Say) -> Vec<Message>>;
/// Changes who speaks, and for which group.
pub type Envelopes = Box<dyn FnMut(&mut Envelope)>;
/// Why a device's request is refused, and not served.
pub type Refuse = Box<dyn FnMut(usize, &Message) -> Option<ErrorCode>>;

/// A device, as the relay knows it.
#[derive(Debug, Clone)]
struct Known {
    name: Vec<u8>,
    acked: Cursor,
    epoch: Epoch,
    revoked: bool,
}

#[derive(Debug)]
enum Conn {
    Accepted,
    Answering(Box<Responder>),
    Open { channel: Box<Channel>, device: DeviceId, epoch: Option<Epoch> },
}

/// The relay.
pub struct Liar {
    /// The log, for whom no view says otherwise.
    pub log: Vec<StoredBlob>,
    /// The database's id.
    pub store_id: StoreId,
    /// 1 + the highest cursor that was dropped without a trace.
    pub oldest: Cursor,
    /// The group's keys, as far as they are known.
    pub key_log: Option<KeyLog>,
    /// Another log for some.
    pub view: Option<View>,
    /// Other words for some.
    pub words: Option<Words>,
    /// Refusals for some.
    pub refuse: Option<Refuse>,
    /// Other envelopes around what it says.
    pub envelopes: Option<Envelopes>,
    /// Whether it lets in, and takes pushes from, whoever was removed.
    pub helps_removed: bool,
    /// Whether it takes a rotation whatever its maker has read.
    pub any_after: bool,
    /// Every message that a client has sent, body by body: what a relay can look at.
    pub heard: Vec<Vec<u8>>,
    secret: RelaySecret,
    group: GroupId,
    known: BTreeMap<DeviceId, Known>,
    conns: BTreeMap<Number, Conn>,
    outgoing: VecDeque<(Number, Out)>,
    nonces: u64,
    now: UnixMs,
}

/// What goes to a device.
#[derive(Debug)]
pub(super) enum Out {
    Frame(Vec<u8>),
    Close(Option<u16>),
}

impl fmt::Debug for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Liar").field("log_len", &self.log.len()).finish_non_exhaustive()
    }
}

impl Liar {
    pub(super) fn new() -> Self {
        Self {
            log: Vec::new(),
            store_id: StoreId([3; 16]),
            oldest: Cursor::ZERO.next(),
            key_log: None,
            view: None,
            words: None,
            refuse: None,
            envelopes: None,
            helps_removed: false,
            any_after: false,
            heard: Vec::new(),
            secret: RelaySecret::from_bytes([200; 32]),
            group: GroupId::NONE,
            known: BTreeMap::new(),
            conns: BTreeMap::new(),
            outgoing: VecDeque::new(),
            nonces: 0,
            now: UnixMs(0),
        }
    }

    /// The same relay, started again: honest, and nobody is connected.
    pub(super) fn restarted(&self) -> Self {
        Self {
            log: self.log.clone(),
            store_id: self.store_id,
            oldest: self.oldest,
            key_log: self.key_log.clone(),
            secret: RelaySecret::from_bytes(*self.secret.expose_bytes()),
            group: self.group,
            known: self.known.clone(),
            now: self.now,
            ..Self::new()
        }
    }

    /// Its key.
    pub fn key(&self) -> RelayKey {
        self.secret.key()
    }

    /// Answers with another key from now on.
    pub fn change_key(&mut self) {
        self.secret = RelaySecret::from_bytes([201; 32]);
    }

    /// From now on nothing but the truth, as far as the log still holds it.
    pub fn be_honest(&mut self) {
        self.view = None;
        self.words = None;
        self.refuse = None;
        self.envelopes = None;
        self.helps_removed = false;
        self.any_after = false;
    }

    /// Changes the log for everybody.
    pub fn lie_about_log(
        &mut self,
        view: impl FnMut(usize, Vec<StoredBlob>) -> Vec<StoredBlob> + 'static,
    ) -> &mut Self {
        self.view = Some(Box::new(view));
        self
    }

    /// Says other things.
    pub fn lie(&mut self, words: impl FnMut(Say) -> Vec<Message> + 'static) -> &mut Self {
        self.words = Some(Box::new(words));
        self
    }

    /// Refuses some requests.
    pub fn refuse(
        &mut self,
        refuse: impl FnMut(usize, &Message) -> Option<ErrorCode> + 'static,
    ) -> &mut Self {
        self.refuse = Some(Box::new(refuse));
        self
    }

    /// Speaks for others.
    pub fn forge_envelopes(&mut self, envelopes: impl FnMut(&mut Envelope) + 'static) -> &mut Self {
        self.envelopes = Some(Box::new(envelopes));
        self
    }

    /// Everything is gone: another database.
    pub fn wipe(&mut self, store: u8) {
        self.log.clear();
        self.oldest = Cursor::ZERO.next();
        self.key_log = None;
        self.known.clear();
        self.store_id = StoreId([store; 16]);
    }

    /// The names that lie here, sealed.
    pub fn names(&self) -> impl Iterator<Item = (&DeviceId, &[u8])> {
        self.known.iter().filter(|(_, known)| !known.revoked).map(|(id, known)| (id, known.name.as_slice()))
    }

    /// The newest cursor of the log.
    pub fn newest(&self) -> Cursor {
        self.log.last().map_or(Cursor::ZERO, |blob| blob.cursor).max(self.oldest.prev())
    }

    /// Puts something at the end of the log, and tells nobody.
    pub fn append(&mut self, sender: DeviceId, blob_id: BlobId, payload: Vec<u8>) -> Cursor {
        let cursor = self.newest().next();
        self.log.push(StoredBlob {
            blob_id,
            cursor,
            sender_id: sender,
            payload: Some(payload),
            timestamp: self.now,
            hash: None,
        });
        cursor
    }

    /// Puts something in the middle of the log; what was there and after it moves on by one.
    pub fn insert(&mut self, at: Cursor, sender: DeviceId, blob_id: BlobId, payload: Vec<u8>) {
        self.append(sender, blob_id, payload);
        let index = self.log.iter().position(|blob| blob.cursor == at).expect("a cursor of the log");
        let blob = self.log.pop().expect("it was just put there");
        self.log.insert(index, blob);
        super::renumber(&mut self.log);
    }

    /// The log as a device is shown it.
    fn shown(&mut self, to: usize) -> Vec<StoredBlob> {
        let log = self.log.clone();
        match &mut self.view {
            Some(view) => view(to, log),
            None => log,
        }
    }

    pub(super) fn poll(&mut self) -> Option<(Number, Out)> {
        self.outgoing.pop_front()
    }

    pub(super) fn hang_up(&mut self, from: Number) {
        if let Some(Conn::Open { device, epoch: Some(_), .. }) = self.conns.remove(&from) {
            self.tell_presence(from, device, 0);
        }
    }

    pub(super) fn accept(&mut self, from: Number) {
        self.hang_up(from);
        self.conns.insert(from, Conn::Accepted);
    }

    /// Closes a connection.
    pub fn close(&mut self, to: usize, code: Option<ErrorCode>) {
        self.hang_up(to);
        self.outgoing.push_back((to, Out::Close(code.map(ErrorCode::close_code))));
    }

    /// A frame of a device's.
    pub(super) fn frame(&mut self, from: Number, frame: &[u8], now: UnixMs) {
        self.now = now;
        match self.conns.remove(&from) {
            // It was on its way when the connection was closed.
            None => {}
            Some(Conn::Accepted) => {
                let (responder, second) =
                    Responder::answer(&self.secret, [7; 32], frame).expect("a first message");
                self.conns.insert(from, Conn::Answering(Box::new(responder)));
                self.outgoing.push_back((from, Out::Frame(second)));
            }
            Some(Conn::Answering(responder)) => {
                let mut channel = Box::new(responder.finish(frame).expect("a third message"));
                channel.set_max_envelope(128 << 20);
                let device = channel.peer();
                self.conns.insert(from, Conn::Open { channel, device, epoch: None });
            }
            Some(Conn::Open { mut channel, device, epoch }) => {
                let opened = channel.open(frame).expect("a frame of this channel");
                self.conns.insert(from, Conn::Open { channel, device, epoch });
                if let Some(bytes) = opened {
                    let (envelope, message) = Envelope::open(&bytes).expect("an envelope");
                    let message = message.expect("a message");
                    self.heard.push(bytes);
                    self.group = envelope.group_id;
                    self.serve(from, device, epoch, envelope.nonce, message);
                }
            }
        }
    }

    fn serve(
        &mut self,
        from: Number,
        device: DeviceId,
        epoch: Option<Epoch>,
        nonce: Nonce,
        request: Message,
    ) {
        if let Some(code) = self.refuse.as_mut().and_then(|refuse| refuse(from, &request)) {
            return self.answer(from, nonce, request, ErrorBody::new(code).into());
        }
        let answer = match (request.clone(), epoch) {
            (Message::Hello(hello), None) => {
                self.hello(from, device, nonce, &hello);
                return;
            }
            (Message::Push(push), Some(epoch)) => self.push(from, device, epoch, &[push], false),
            (Message::PushBatch(batch), Some(epoch)) => self.push(from, device, epoch, &batch.blobs, true),
            (Message::Pull(pull), Some(_)) => Message::from(self.pull(from, &pull)),
            (Message::Ack(ack), Some(_)) => {
                self.ack(device, ack.cursor);
                return;
            }
            (Message::Presence(presence), Some(_)) => Message::Presence(presence),
            (Message::Devices(_), Some(_)) => Message::from(self.devices()),
            (Message::Rotate(rotate), Some(epoch)) => self.rotate(from, device, epoch, &rotate),
            (Message::Leave(_), Some(_)) => {
                if let Some(known) = self.known.get_mut(&device) {
                    known.revoked = true;
                }
                Message::from(LeaveAck)
            }
            (Message::GroupDelete(_), Some(_)) => Message::from(GroupDeleteAck),
            (request, epoch) => panic!("device {from} sends {} at epoch {epoch:?}", request.name()),
        };
        self.answer(from, nonce, request, answer);
    }

    /// The newest epoch that is known.
    pub fn epoch(&self) -> Epoch {
        self.key_log.as_ref().map_or(0, KeyLog::epoch)
    }

    fn hello(&mut self, from: Number, device: DeviceId, nonce: Nonce, hello: &Hello) {
        let request = Message::Hello(hello.clone());
        if let Err(code) = self.admit(from, device, hello) {
            self.answer(from, nonce, request, ErrorBody::new(code).into());
            return;
        }
        let acked = if hello.store_id == self.store_id { hello.last_cursor } else { Cursor::ZERO };
        self.ack(device, acked);
        if let Some(Conn::Open { epoch, .. }) = self.conns.get_mut(&from) {
            *epoch = Some(hello.epoch);
        }
        let shown = self.shown(from);
        let at = shown.iter().find(|blob| blob.cursor == acked).map(|blob| blob.blob_id);
        let max_cursor = shown.last().map_or(Cursor::ZERO, |blob| blob.cursor).max(self.oldest.prev());
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            relay_id: "liar".to_owned(),
            max_cursor,
            pending_count: 0,
            store_id: self.store_id,
            oldest_cursor: self.oldest,
            at_cursor: at.filter(|_| hello.store_id == self.store_id),
            epoch: self.epoch(),
            max_blob_size: DEFAULT_MAX_BLOB,
            default_ttl: 604_800,
            features: hello.features,
        };
        self.answer(from, nonce, request, welcome.into());
        self.tell_presence(from, device, 1);
    }

    /// What an honest relay checks before it lets a device in.
    fn admit(&mut self, from: Number, device: DeviceId, hello: &Hello) -> Result<(), ErrorCode> {
        if !self.helps_removed {
            self.check_membership(from, device, hello)?;
        }
        let known = self.known.entry(device).or_insert_with(|| Known {
            name: Vec::new(),
            acked: Cursor::ZERO,
            epoch: hello.epoch,
            revoked: false,
        });
        known.name.clone_from(&hello.device_name);
        known.epoch = known.epoch.max(hello.epoch);
        Ok(())
    }

    fn check_membership(&mut self, from: Number, device: DeviceId, hello: &Hello) -> Result<(), ErrorCode> {
        if let Some(log) = &hello.key_log {
            log.verify(&hello.group_id).map_err(|_| ErrorCode::Unauthenticated)?;
            let longer = self.key_log.as_ref().is_none_or(|known| known.links.len() < log.links.len());
            if longer {
                self.key_log = Some(log.clone());
            }
        }
        let key = self.key_log.as_ref().and_then(|log| log.key(hello.epoch).copied());
        let key = key.ok_or(ErrorCode::EpochUnknown)?;
        let Some(Conn::Open { channel, .. }) = self.conns.get(&from) else {
            return Err(ErrorCode::BadRequest);
        };
        let proof = MembershipProof {
            handshake_hash: channel.handshake_hash(),
            group_id: &hello.group_id,
            epoch: hello.epoch,
            device_id: &device,
        };
        proof.verify(&key, &hello.proof).map_err(|_| ErrorCode::Unauthenticated)?;
        let newest = self.epoch();
        match self.known.get(&device) {
            Some(known) if known.revoked => Err(ErrorCode::DeviceRevoked),
            Some(known) if hello.epoch < newest && known.epoch < newest => Err(ErrorCode::EpochStale),
            None if hello.epoch < newest => Err(ErrorCode::DeviceRevoked),
            Some(_) | None => Ok(()),
        }
    }

    fn ack(&mut self, device: DeviceId, cursor: Cursor) {
        let newest = self.newest();
        if let Some(known) = self.known.get_mut(&device) {
            known.acked = known.acked.max(cursor.min(newest));
        }
    }

    fn push(&mut self, from: Number, device: DeviceId, epoch: Epoch, blobs: &[Push], batch: bool) -> Message {
        let mut stored = Vec::new();
        for push in blobs {
            let hash = sync_e2ee::blob::hash(&push.payload);
            if let Some(known) = self.log.iter().find(|blob| blob.blob_id == push.blob_id) {
                if super::hash_of(known) != hash {
                    return ErrorBody::new(ErrorCode::Conflict).into();
                }
                stored.push(Stored { blob_id: push.blob_id, cursor: known.cursor });
                continue;
            }
            if epoch < self.epoch() && !self.helps_removed {
                return ErrorBody::new(ErrorCode::EpochStale).into();
            }
            let cursor = self.append(device, push.blob_id, push.payload.clone());
            stored.push(Stored { blob_id: push.blob_id, cursor });
            self.notify(from, cursor);
        }
        let timestamp = self.now;
        match stored.first() {
            Some(Stored { blob_id, cursor }) if !batch => {
                PushAck { blob_id: *blob_id, cursor: *cursor, timestamp }.into()
            }
            _ => PushBatchAck { stored, timestamp }.into(),
        }
    }

    /// Tells all but one of what is at a cursor, as each is shown the log.
    fn notify(&mut self, but: Number, cursor: Cursor) {
        let others: Vec<_> = self.online().into_iter().filter(|(number, _)| *number != but).collect();
        for (number, _) in others {
            let shown = self.shown(number);
            let Some(blob) = shown.into_iter().find(|blob| blob.cursor == cursor) else { continue };
            let size = blob.payload.as_ref().map_or(0, Vec::len);
            let notify = Notify {
                blob_id: blob.blob_id,
                cursor,
                sender_id: blob.sender_id,
                timestamp: blob.timestamp,
                size: u32::try_from(size).unwrap_or(u32::MAX),
                payload: blob.payload.filter(|_| size <= MAX_INLINE_NOTIFY),
            };
            self.say(number, notify);
        }
    }

    /// Tells a device of the newest blob, as it is shown the log.
    pub(super) fn tell_newest(&mut self, to: Number) {
        let online = self.online().iter().any(|(number, _)| *number == to);
        if let Some(blob) = self.shown(to).pop().filter(|_| online) {
            let StoredBlob { blob_id, cursor, sender_id, timestamp, .. } = blob;
            self.say(to, Notify { blob_id, cursor, sender_id, timestamp, size: 0, payload: None });
        }
    }

    fn pull(&mut self, from: Number, pull: &Pull) -> PullResponse {
        let limit = if pull.limit == 0 { 100 } else { pull.limit as usize };
        let shown = self.shown(from);
        let mut after = shown.into_iter().filter(|blob| blob.cursor > pull.after_cursor);
        let blobs: Vec<_> = after.by_ref().take(limit).collect();
        let max_cursor = blobs.last().map_or(pull.after_cursor, |blob| blob.cursor);
        PullResponse { blobs, has_more: after.next().is_some(), max_cursor, oldest_cursor: self.oldest }
    }

    fn devices(&self) -> DevicesResponse {
        let online = self.online();
        let row = |(device_id, known): (&DeviceId, &Known)| DeviceRow {
            device_id: *device_id,
            device_name: known.name.clone(),
            acked_cursor: known.acked,
            last_seen: self.now,
            online: online.iter().any(|(_, device)| device == device_id),
        };
        DevicesResponse { devices: self.known.iter().filter(|(_, known)| !known.revoked).map(row).collect() }
    }

    fn rotate(&mut self, from: Number, device: DeviceId, epoch: Epoch, rotate: &Rotate) -> Message {
        let refused = |code| ErrorBody::new(code).into();
        let Ok(rotation) = Rotation::decode(&rotate.payload) else {
            return refused(ErrorCode::BadRequest);
        };
        if let Some(known) = self.log.iter().find(|blob| blob.blob_id == rotate.blob_id) {
            return RotateAck { epoch: rotation.epoch, cursor: known.cursor }.into();
        }
        let read_all = rotate.after == self.newest() || self.any_after;
        let Some(log) = &mut self.key_log else { return refused(ErrorCode::EpochStale) };
        let newest = log.epoch();
        let link = rotation.link(&device, &rotate.blob_id);
        if rotation.epoch == newest + 1 && epoch == newest {
            if !read_all {
                return refused(ErrorCode::Behind);
            }
            let Some(Ok(link)) =
                log.key(newest).map(|key| rotation.verify(&self.group, key, &device, &rotate.blob_id))
            else {
                return refused(ErrorCode::Unauthenticated);
            };
            log.links.push(link);
        } else if rotation.epoch == 0 || log.links.get(rotation.epoch as usize - 1) != Some(&link) {
            return refused(ErrorCode::EpochStale);
        }
        let cursor = self.append(device, rotate.blob_id, rotate.payload.clone());
        if rotation.epoch == self.epoch() {
            self.keep_only(&rotation);
        }
        self.notify(from, cursor);
        RotateAck { epoch: rotation.epoch, cursor }.into()
    }

    /// Who has a lockbox stays; whoever has none, and has not proven the newest epoch, goes.
    fn keep_only(&mut self, rotation: &Rotation) {
        for lockbox in &rotation.lockboxes {
            let known = self.known.entry(lockbox.device_id).or_insert_with(|| Known {
                name: Vec::new(),
                acked: Cursor::ZERO,
                epoch: 0,
                revoked: false,
            });
            known.epoch = rotation.epoch;
        }
        let mut gone = Vec::new();
        for (device, known) in &mut self.known {
            if known.epoch < rotation.epoch {
                known.revoked = true;
                gone.push(*device);
            }
        }
        let online = self.online();
        for (number, _) in online.into_iter().filter(|(_, device)| gone.contains(device)) {
            if !self.helps_removed {
                self.say(number, ErrorBody::new(ErrorCode::DeviceRevoked));
                self.close(number, Some(ErrorCode::DeviceRevoked));
            }
        }
    }

    fn online(&self) -> Vec<(Number, DeviceId)> {
        let device = |(number, conn): (&Number, &Conn)| match conn {
            Conn::Open { device, epoch: Some(_), .. } => Some((*number, *device)),
            Conn::Open { .. } | Conn::Accepted | Conn::Answering(_) => None,
        };
        self.conns.iter().filter_map(device).collect()
    }

    fn tell_presence(&mut self, from: Number, device_id: DeviceId, status: u8) {
        for (number, _) in self.online().into_iter().filter(|(number, _)| *number != from) {
            self.say(number, Presence::Peer(PeerPresence { device_id, status, last_seen: self.now }));
        }
    }

    /// Says something that was not asked for.
    pub fn say(&mut self, to: usize, message: impl Into<Message>) {
        self.nonces += 1;
        let mut nonce = [9; 24];
        nonce[..8].copy_from_slice(&self.nonces.to_be_bytes());
        self.speak(Nonce(nonce), Say { to, request: None, message: message.into() });
    }

    fn answer(&mut self, to: Number, nonce: Nonce, request: Message, message: Message) {
        self.speak(nonce, Say { to, request: Some(request), message });
    }

    fn speak(&mut self, nonce: Nonce, say: Say) {
        let to = say.to;
        let messages = match &mut self.words {
            Some(words) => words(say),
            None => vec![say.message],
        };
        let sender = DeviceId::from(self.secret.key());
        for (n, message) in messages.into_iter().enumerate() {
            let Some(Conn::Open { channel, .. }) = self.conns.get_mut(&to) else { return };
            // What is said besides the answer is no answer.
            let nonce = if n == 0 { nonce } else { Nonce([n as u8; 24]) };
            let mut envelope = Envelope {
                msg_type: message.msg_type(),
                sender_id: sender,
                group_id: self.group,
                cursor: message.about(),
                timestamp: self.now,
                nonce,
            };
            if let Some(forge) = &mut self.envelopes {
                forge(&mut envelope);
            }
            let Envelope { sender_id, group_id, timestamp, nonce, .. } = envelope;
            let bytes = Envelope::seal(&message, sender_id, group_id, timestamp, nonce);
            let frames = channel.seal(&bytes).expect("an envelope that can be sent");
            self.outgoing.extend(frames.into_iter().map(|frame| (to, Out::Frame(frame))));
        }
    }
}
