//! One connection, from its first byte to its close.

mod entry;
mod line;
mod queue;
mod requests;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sync_types::limits::{HELLO_DEADLINE, PEER_TIMEOUT, SLOWEST_LINE};
use sync_types::{
    ChannelError, DecodeError, DeviceId, Envelope, ErrorBody, ErrorCode, GroupId, Message, MonoMs, Nonce,
    Notify, Now, Presence, RelaySecret, StoreId,
};

use crate::bucket::Bucket;
use crate::hub::{Delivery, Ending, Registration};
use crate::policy::Policy;
use crate::store::{News, OpId, ReadOp, Seen, StoreReply, WriteOp};
use entry::{Entry, Step};
use line::{Heard, Line};
use requests::Member;

/// WebSocket close code: all is done (RFC 6455 §7.4.1).
const CLOSE_NORMAL: u16 = 1000;
/// WebSocket close code: this end goes away (RFC 6455 §7.4.1).
const CLOSE_AWAY: u16 = 1001;
/// WebSocket close code: a kind of message that is not taken (RFC 6455 §7.4.1).
const CLOSE_UNSUPPORTED: u16 = 1003;
/// How long one envelope may take from its first record to its last, beside what the largest takes on the slowest line:
/// what is held of it counts against a budget of all sessions.
const ENVELOPE_TIME: Duration = Duration::from_secs(60);
/// Refusals kept for [`Session::poll_refusal`]; more are forgotten.
const MAX_REFUSALS: usize = 16;
/// When to try again after the relay has failed or gone down, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// What all sessions of a relay share.
#[derive(Debug)]
pub struct RelayIdentity {
    /// The relay's key pair.
    pub secret: RelaySecret,
    /// Its database.
    pub store_id: StoreId,
    /// The name that its owner gave it, for people.
    pub name: String,
    /// Its owner's settings.
    pub policy: Policy,
}

/// What a driver has to do for a session.
pub enum Output {
    /// Send one binary WebSocket message.
    Send(Vec<u8>),
    /// Apply to storage; answer with [`Session::handle_stored`] after the commit.
    Write {
        /// For the answer.
        id: OpId,
        /// What to do.
        op: WriteOp,
    },
    /// Read from storage; answer with [`Session::handle_stored`].
    Read {
        /// For the answer.
        id: OpId,
        /// What to read.
        op: ReadOp,
    },
    /// The device was let in: register it, answer with [`Session::handle_registered`].
    Register(Registration),
    /// Tell the group's other sessions.
    Presence {
        /// What the device says of itself.
        status: u8,
    },
    /// Close the WebSocket. Nothing follows.
    Close {
        /// 4000 plus an error code, or one of RFC 6455.
        code: u16,
        /// For people.
        reason: String,
    },
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(frame) => write!(f, "Send({} bytes)", frame.len()),
            Self::Write { id, op } => f.debug_tuple("Write").field(id).field(op).finish(),
            Self::Read { id, op } => f.debug_tuple("Read").field(id).field(op).finish(),
            Self::Register(registration) => registration.fmt(f),
            Self::Presence { status } => write!(f, "Presence({status})"),
            Self::Close { code, reason } => write!(f, "Close({code}, {reason:?})"),
        }
    }
}

enum Phase {
    Handshake,
    Hello { refused: u8 },
    Entering(Box<Entry>),
    Ready(Box<Member>),
    Closed,
}

/// One connection's state machine. Its methods are of three kinds:
///
/// - `handle_*`: something came in;
/// - [`poll_output`](Self::poll_output), [`poll_timeout`](Self::poll_timeout): what is to be done, to
///   be called until nothing comes after each `handle_*`;
/// - getters, such as [`unstored`](Self::unstored), by which a driver decides whether to read on.
///
/// Time must not go back from one call to the next.
pub struct Session {
    relay: Arc<RelayIdentity>,
    rng: ChaCha20Rng,
    line: Line,
    phase: Phase,
    outputs: VecDeque<Output>,
    refusals: VecDeque<u16>,
    ops: u64,
    opened: MonoMs,
    heard: MonoMs,
    /// When the first record came of an envelope that is not whole yet.
    begun: Option<MonoMs>,
    group: GroupId,
    refused: u8,
    admitted: bool,
    #[cfg(feature = "record")]
    recorded: Vec<Vec<u8>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer())
            .field("group", &self.group)
            .field("phase", &self.phase_name())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A connection that was just made. `seed` is 32 random bytes of its own: handshake keys and
    /// nonces come from it.
    pub fn new(relay: Arc<RelayIdentity>, seed: [u8; 32], now: Now) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut handshake_seed = [0; 32];
        rng.fill_bytes(&mut handshake_seed);
        Self {
            relay,
            rng,
            line: Line::new(handshake_seed),
            phase: Phase::Handshake,
            outputs: VecDeque::new(),
            refusals: VecDeque::new(),
            ops: 0,
            opened: now.mono,
            heard: now.mono,
            begun: None,
            group: GroupId::NONE,
            refused: 0,
            admitted: false,
            #[cfg(feature = "record")]
            recorded: Vec::new(),
        }
    }

    /// The envelopes that were decrypted since the last call.
    #[cfg(feature = "record")]
    pub fn take_recorded(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.recorded)
    }

    /// A binary WebSocket message came in.
    pub fn handle_frame(&mut self, frame: &[u8], now: Now) {
        if self.is_closed() {
            return;
        }
        self.heard = now.mono;
        let begun = self.begun.take();
        match self.line.take(frame, &self.relay.secret) {
            Ok(Heard::Answer(answer)) => self.outputs.push_back(Output::Send(answer)),
            Ok(Heard::Opened) => self.phase = Phase::Hello { refused: 0 },
            Ok(Heard::Part) => self.begun = begun.or(Some(now.mono)),
            Ok(Heard::Envelope(bytes)) => self.on_envelope(&bytes, now),
            Err(ChannelError::TooLarge) if matches!(self.phase, Phase::Ready(_)) => {
                let nonce = self.nonce();
                self.fail(ErrorBody::new(ErrorCode::BlobTooLarge), nonce, now);
            }
            Err(error) => self.close(ErrorCode::BadRequest.close_code(), error.to_string()),
        }
    }

    /// A text message came in, which this protocol does not have.
    pub fn handle_text(&mut self) {
        self.close(CLOSE_UNSUPPORTED, "binary messages only".to_owned());
    }

    /// The peer gave some other sign of life, such as a pong.
    pub fn handle_alive(&mut self, now: Now) {
        self.heard = now.mono;
    }

    /// Storage has answered.
    pub fn handle_stored(&mut self, id: OpId, reply: StoreReply, now: Now) {
        match &self.phase {
            Phase::Entering(_) => self.on_entry_stored(id, reply, now),
            Phase::Ready(_) => self.on_request_stored(id, reply, now),
            Phase::Handshake | Phase::Hello { .. } | Phase::Closed => {}
        }
    }

    /// The hub has registered the device; its message allowance is `bucket`.
    pub fn handle_registered(&mut self, bucket: Arc<Bucket>) {
        self.on_registered(bucket);
    }

    /// The hub has something to hear. To be called only while [`wants_deliveries`](Self::wants_deliveries).
    pub fn handle_delivery(&mut self, delivery: Delivery, now: Now) {
        let Phase::Ready(member) = &mut self.phase else {
            return;
        };
        match delivery {
            Delivery::News(news) if news.cursor <= member.told => {}
            Delivery::News(news) => {
                member.told = news.cursor;
                let inline = member.inline;
                self.notify(news, inline, now);
            }
            Delivery::Presence(presence) => {
                let nonce = self.nonce();
                self.send(Presence::Peer(presence), nonce, now);
            }
            // Its own wish: the answer to it comes next, and ends the session.
            Delivery::Ended(Ending::Removed | Ending::GroupDeleted) if member.queue.is_leaving() => {}
            Delivery::Ended(why) => {
                let nonce = self.nonce();
                self.fail(ErrorBody::new(why.code()), nonce, now);
            }
        }
    }

    /// The relay goes down: what storage has under way is still answered, nothing new is taken.
    pub fn handle_shutdown(&mut self, now: Now) {
        if self.is_closed() {
            return;
        }
        if let Phase::Ready(member) = &mut self.phase
            && member.queue.drain()
        {
            return;
        }
        self.go_away(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_none_or(|at| now.mono < at) {
            return;
        }
        match self.phase {
            Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) => {
                let code = ErrorCode::Unavailable.close_code();
                self.close(code, "no HELLO in time".to_owned());
            }
            Phase::Ready(_) if now.mono < self.heard.plus(PEER_TIMEOUT) => {
                let code = ErrorCode::Unavailable.close_code();
                self.close(code, "a message took too long".to_owned());
            }
            Phase::Ready(_) | Phase::Closed => self.close(CLOSE_AWAY, "silent for too long".to_owned()),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the peer was refused since the last call, for whoever counts it.
    pub fn poll_refusal(&mut self) -> Option<ErrorCode> {
        self.refusals.pop_front().and_then(ErrorCode::from_u16)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if ever.
    pub fn poll_timeout(&self) -> Option<MonoMs> {
        match self.phase {
            Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) => {
                Some(self.opened.plus(HELLO_DEADLINE))
            }
            Phase::Ready(_) => {
                let silent = self.heard.plus(PEER_TIMEOUT);
                let on_the_line = self.relay.policy.max_envelope() / SLOWEST_LINE;
                let patience = ENVELOPE_TIME + Duration::from_millis(on_the_line as u64);
                Some(self.begun.map_or(silent, |begun| silent.min(begun.plus(patience))))
            }
            Phase::Closed => None,
        }
    }

    /// Bytes of the peer's that are held and not stored yet: parts of an envelope, and blobs on their
    /// way to storage. Above a bound of its own a driver does not read on.
    pub fn unstored(&self) -> usize {
        let queued = match &self.phase {
            Phase::Ready(member) => member.queue.unstored(),
            Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) | Phase::Closed => 0,
        };
        queued + self.line.buffered()
    }

    /// What [`unstored`](Self::unstored) may come to with the envelope that has begun: who shares out room does so
    /// before it is taken, so that two that are half through do not wait for each other.
    pub fn expected(&self) -> usize {
        match &self.phase {
            Phase::Ready(member) if self.line.buffered() > 0 => {
                member.queue.unstored() + self.relay.policy.max_envelope()
            }
            Phase::Ready(_) | Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) | Phase::Closed => {
                self.unstored()
            }
        }
    }

    /// Of [`unstored`](Self::unstored), the bytes that storage has been given and has not answered.
    pub fn submitted(&self) -> usize {
        match &self.phase {
            Phase::Ready(member) => member.queue.submitted(),
            Phase::Handshake | Phase::Hello { .. } | Phase::Entering(_) | Phase::Closed => 0,
        }
    }

    /// Whether the session can take what the hub has for it.
    pub fn wants_deliveries(&self) -> bool {
        matches!(self.phase, Phase::Ready(_))
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The device at the other end, once the handshake has shown it.
    pub fn peer(&self) -> Option<DeviceId> {
        self.line.peer()
    }

    /// The last write of a session that is over, for storage: nobody waits for its answer.
    pub fn farewell(&self, now: Now) -> Option<WriteOp> {
        let device = self.peer().filter(|_| self.admitted)?;
        Some(WriteOp::Seen(Seen { devices: vec![(self.group, device)], now: now.unix }))
    }

    fn on_envelope(&mut self, bytes: &[u8], now: Now) {
        #[cfg(feature = "record")]
        self.recorded.push(bytes.to_vec());
        let (envelope, message) = match Envelope::open(bytes) {
            Ok(opened) => opened,
            Err(error) => {
                let code = if error == DecodeError::UnknownVersion {
                    ErrorCode::UnsupportedVersion
                } else {
                    ErrorCode::BadRequest
                };
                let nonce = self.nonce();
                return self.fail(ErrorBody::because(code, error.to_string()), nonce, now);
            }
        };
        if Some(envelope.sender_id) != self.peer() {
            return self.misused("the sender is another than the channel's", envelope.nonce, now);
        }
        match &self.phase {
            Phase::Hello { refused } => {
                self.refused = *refused;
                self.on_hello(envelope, message, now);
            }
            Phase::Ready(_) if envelope.group_id != self.group => {
                self.misused("the group is another than HELLO's", envelope.nonce, now);
            }
            Phase::Ready(_) => self.on_request(envelope.nonce, message, now),
            Phase::Handshake | Phase::Entering(_) | Phase::Closed => {
                self.misused("HELLO comes first, and WELCOME before anything else", envelope.nonce, now);
            }
        }
    }

    /// A breach of protocol after which nothing can be trusted.
    fn misused(&mut self, why: &str, nonce: Nonce, now: Now) {
        self.fail(ErrorBody::because(ErrorCode::BadRequest, why), nonce, now);
    }

    /// Says why, and ends the session.
    fn fail(&mut self, error: ErrorBody, nonce: Nonce, now: Now) {
        let (code, reason) = (4000 + error.code, error.message.clone());
        self.send(error, nonce, now);
        self.end(code, reason);
    }

    fn go_away(&mut self, now: Now) {
        let nonce = self.nonce();
        let error = ErrorBody::because(ErrorCode::Unavailable, "the relay is going down");
        self.send(error.retry_after_ms(RETRY_MS), nonce, now);
        self.end(CLOSE_AWAY, "the relay is going down".to_owned());
    }

    /// Ends the session without an ERROR: there is no channel for one, or nothing can be said any more.
    fn close(&mut self, code: u16, reason: String) {
        if let Some(code) = code.checked_sub(4000).filter(|_| !self.is_closed()) {
            self.note_refusal(code);
        }
        self.end(code, reason);
    }

    fn end(&mut self, code: u16, reason: String) {
        if !self.is_closed() {
            self.phase = Phase::Closed;
            self.outputs.push_back(Output::Close { code, reason });
        }
    }

    fn notify(&mut self, news: News, inline: bool, now: Now) {
        let nonce = self.nonce();
        let notify = Notify {
            blob_id: news.blob_id,
            cursor: news.cursor,
            sender_id: news.sender,
            timestamp: news.stored_at,
            size: news.size,
            payload: news.payload.filter(|_| inline).map(|payload| payload.to_vec()),
        };
        self.send(notify, nonce, now);
    }

    /// Seals a message and queues its frames. Before the channel is open there is no way to say anything.
    fn send(&mut self, message: impl Into<Message>, nonce: Nonce, now: Now) {
        let sender = DeviceId::from(self.relay.secret.key());
        let message = message.into();
        if let Message::Error(error) = &message {
            self.note_refusal(error.code);
        }
        let envelope = Envelope::seal(&message, sender, self.group, now.unix, nonce);
        match self.line.seal(&envelope) {
            Ok(frames) => self.outputs.extend(frames.into_iter().map(Output::Send)),
            Err(error) => self.close(ErrorCode::Unavailable.close_code(), error.to_string()),
        }
    }

    fn note_refusal(&mut self, code: u16) {
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(code);
        }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 24];
        self.rng.fill_bytes(&mut nonce);
        Nonce(nonce)
    }

    fn op_id(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    fn phase_name(&self) -> &'static str {
        match &self.phase {
            Phase::Handshake => "handshake",
            Phase::Hello { .. } => "hello",
            Phase::Entering(entry) => match entry.step {
                Step::KeyLog(_) => "verifying",
                Step::Admit(_) => "admitting",
                Step::Register(_) => "registering",
                Step::Backlog { .. } => "catching up",
            },
            Phase::Ready(_) => "ready",
            Phase::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests;
