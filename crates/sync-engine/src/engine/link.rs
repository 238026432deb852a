//! The connection: from "somebody wants one" to requests and their answers, and back.

use std::time::Duration;

use litemap::LiteMap;
use sync_e2ee::seal_name;
use sync_types::channel::{Channel, Initiator};
use sync_types::limits::{
    CLIENT_SILENCE, ENVELOPE_OVERHEAD, HELLO_DEADLINE, MIN_MAX_BLOB, PRESENCE_TIMEOUT, PROTOCOL_VERSION,
    SLOWEST_LINE,
};
use sync_types::{
    Ack, BlobId, Cursor, Envelope, ErrorCode, FEATURE_INLINE_NOTIFY, Hello, MembershipProof, Message, MonoMs,
    Nonce, Presence, RelayKey, StoreId, Welcome,
};

use super::Engine;
use super::intake::is_within;
use super::reader::Wanted;
use super::request::Request;
use crate::api::{CommandId, Event, Output, Reply};
use crate::error::{EngineError, StopReason};
use crate::timer::Timer;

/// First window of the back-off; doubles with each failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Widest window of the back-off.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How long to stay away when the same device connected from elsewhere.
pub(super) const REPLACED_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: the next failure starts the back-off anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);
/// From asking for a socket to having it.
const OPEN_DEADLINE: Duration = Duration::from_secs(20);
/// From one answer to the next, or from a first request to its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest blob limit that is believed, in bytes: what a relay can make a client hold.
const MAX_BELIEVED_BLOB: u32 = 64 * 1024 * 1024;
/// Presence status: here.
const HERE: u8 = 1;

/// Where the connection stands.
#[derive(Debug)]
pub(super) enum Link {
    /// Nobody wants one, or nothing can be tried.
    Idle,
    /// The last attempt failed; the next one comes with [`Timer::Reconnect`].
    BackingOff,
    /// The driver opens a socket.
    Opening,
    /// The first handshake message was sent.
    Handshaking(Box<Initiator>),
    /// HELLO was sent.
    Greeting(Box<Greeting>),
    /// The relay let us in.
    Online(Box<Session>),
}

/// Somebody who waits for a connection.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) id: CommandId,
    /// It was asked for while an attempt was under way already: should that fail, another one is made.
    pub(super) late: bool,
}

#[derive(Debug)]
pub(super) struct Greeting {
    channel: Channel,
    nonce: Nonce,
    with_log: bool,
    /// The cursor that HELLO named, and the blob there, where known.
    claimed: (Cursor, Option<BlobId>),
}

#[derive(Debug)]
pub(super) struct Session {
    channel: Channel,
    pub(super) requests: LiteMap<Nonce, Request>,
    since: MonoMs,
}

impl Engine {
    /// Starts connecting when somebody wants it and nothing stands against it.
    pub(super) fn connect_if_wanted(&mut self) {
        if !self.wanted || self.stopped.is_some() || !matches!(self.link, Link::Idle) {
            return;
        }
        if self.state.group.is_some() {
            self.connect();
        }
    }

    fn connect(&mut self) {
        let Some(url) = self.state.relay.url.clone() else {
            return;
        };
        self.link = Link::Opening;
        self.shut_out = None;
        self.timers.stop(Timer::Reconnect);
        self.timers.set(Timer::Greeting, self.now.mono.plus(OPEN_DEADLINE));
        self.outputs.push_back(Output::Connect(url));
    }

    pub(super) fn is_connecting(&self) -> bool {
        match self.link {
            Link::Opening | Link::Handshaking(_) | Link::Greeting(_) => true,
            Link::Idle | Link::BackingOff | Link::Online(_) => false,
        }
    }

    /// Answers those who wait for a connection, as far as it is decided.
    pub(super) fn settle_connects(&mut self) {
        if self.connects.is_empty() || self.is_connecting() {
            return;
        }
        let mut settled = std::mem::take(&mut self.connects);
        let result = match self.no_connection() {
            None | Some(EngineError::NoGroup) => Ok(()),
            Some(error) => Err(error),
        };
        if result == Err(EngineError::Unreachable) {
            let (late, over) = settled.into_iter().partition(|connecting| connecting.late);
            (self.connects, settled) = (late, over);
            if !self.connects.is_empty() {
                self.connects.iter_mut().for_each(|connecting| connecting.late = false);
                self.reconnect();
                self.connect_if_wanted();
            }
        }
        for Connecting { id, .. } in settled {
            self.reply(id, result.clone().map(|()| Reply::Done));
        }
    }

    pub(super) fn reconnect(&mut self) {
        if matches!(self.link, Link::BackingOff) {
            self.link = Link::Idle;
        }
    }

    /// The network or the machine came back: whatever was known may be out of date.
    pub(super) fn woke(&mut self) {
        self.reconnect();
        self.timers.stop(Timer::Reconnect);
        self.probe();
    }

    /// Asks the relay whether it is there.
    pub(super) fn probe(&mut self) {
        if matches!(self.link, Link::Online(_)) && !self.timers.is_set(Timer::Presence) {
            // The question waits behind what is being sent.
            self.timers.set(Timer::Presence, self.now.mono.plus(PRESENCE_TIMEOUT + self.sending()));
            self.send_request(Message::Presence(Presence::Own(HERE)), Request::Presence);
        }
    }

    /// How long a slow line needs for what was sent and not answered.
    fn sending(&self) -> Duration {
        let millis = self.outbox.bytes_in_flight() / SLOWEST_LINE;
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The relay is answering, or has just been asked: if requests are open, it has to go on.
    pub(super) fn watch_answers(&mut self) {
        if self.asked(|request| *request != Request::Presence) {
            self.timers.set(Timer::Answer, self.now.mono.plus(ANSWER_TIMEOUT + self.sending()));
        } else {
            self.timers.stop(Timer::Answer);
        }
    }

    /// The socket is open.
    pub(super) fn opened(&mut self) {
        if !matches!(self.link, Link::Opening) {
            return;
        }
        let seed = self.random();
        match Initiator::start(&self.state.device.secret, seed) {
            Ok((initiator, first)) => {
                self.link = Link::Handshaking(Box::new(initiator));
                self.timers.set(Timer::Greeting, self.now.mono.plus(HELLO_DEADLINE));
                self.outputs.push_back(Output::Send(first));
            }
            Err(_) => self.lost(),
        }
    }

    /// A frame arrived.
    pub(super) fn frame(&mut self, frame: &[u8]) {
        match std::mem::replace(&mut self.link, Link::Opening) {
            Link::Handshaking(initiator) => self.introduced(*initiator, frame),
            Link::Greeting(mut greeting) => {
                let opened = greeting.channel.open(frame);
                self.link = Link::Greeting(greeting);
                match opened {
                    Ok(Some(envelope)) => self.greeted(&envelope),
                    Ok(None) => {}
                    Err(_) => self.misbehaved(),
                }
            }
            Link::Online(mut session) => {
                let opened = session.channel.open(frame);
                self.link = Link::Online(session);
                if opened.is_ok() {
                    self.heard();
                }
                match opened {
                    Ok(Some(envelope)) => self.envelope(&envelope),
                    // A long answer comes in parts.
                    Ok(None) => self.watch_answers(),
                    Err(_) => self.misbehaved(),
                }
            }
            // A frame of a connection that is no more.
            other @ (Link::Idle | Link::BackingOff | Link::Opening) => self.link = other,
        }
    }

    /// The relay has proven its key: compare it before saying who we are.
    fn introduced(&mut self, initiator: Initiator, second: &[u8]) {
        let Ok(introduced) = initiator.read(second) else {
            return self.lost();
        };
        let found = introduced.relay_key();
        match self.state.relay.pin {
            Some(expected) if expected != found => {
                return self.stop(StopReason::RelayKeyChanged { expected, found });
            }
            Some(_) => {}
            None => {
                self.state.relay.pin = Some(found);
                let change = self.state.relay.change();
                self.store([change]);
            }
        }
        let Ok((channel, third)) = introduced.finish() else {
            return self.lost();
        };
        self.outputs.push_back(Output::Send(third));
        // Whoever does not know the store has no reason to think that the relay knows the group.
        let with_log = self.state.progress.store_id == StoreId::NONE;
        self.greet(channel, with_log);
    }

    fn greet(&mut self, mut channel: Channel, with_log: bool) {
        let Some(hello) = self.hello(&channel, with_log) else {
            return self.hang_up();
        };
        let (nonce, group_id) = (self.nonce(), hello.group_id);
        let bytes = Envelope::seal(&Message::Hello(hello), self.me(), group_id, self.now.unix, nonce);
        let Ok(frames) = channel.seal(&bytes) else {
            return self.lost();
        };
        self.outputs.extend(frames.into_iter().map(Output::Send));
        let claimed = self.durable;
        self.link = Link::Greeting(Box::new(Greeting { channel, nonce, with_log, claimed }));
    }

    fn hello(&mut self, channel: &Channel, with_log: bool) -> Option<Hello> {
        let me = self.me();
        let group = self.state.group.as_ref()?;
        let epoch = group.key_log.epoch();
        let keys = self.keys.get(&epoch)?;
        let proof = keys.prove(&MembershipProof {
            handshake_hash: channel.handshake_hash(),
            group_id: &group.group_id,
            epoch,
            device_id: &me,
        });
        let device = &self.state.device;
        let progress = &self.state.progress;
        Some(Hello {
            version: PROTOCOL_VERSION,
            device_name: seal_name(keys, &group.group_id, epoch, &me, &device.name, &mut self.rng).ok()?,
            group_id: group.group_id,
            last_cursor: self.durable.0,
            store_id: progress.store_id,
            epoch,
            key_log: with_log.then(|| group.key_log.clone()),
            proof,
            features: FEATURE_INLINE_NOTIFY,
            access_token: device.access_token.clone(),
        })
    }

    /// The answer to HELLO.
    fn greeted(&mut self, envelope: &[u8]) {
        let Some((envelope, message)) = self.read(envelope) else {
            return self.misbehaved();
        };
        let Link::Greeting(greeting) = &self.link else {
            return;
        };
        let answers = envelope.nonce == greeting.nonce;
        let with_log = greeting.with_log;
        if let Message::Error(error) = message {
            let code = ErrorCode::from_u16(error.code);
            if code == Some(ErrorCode::EpochUnknown) && !with_log {
                if let Link::Greeting(greeting) = std::mem::replace(&mut self.link, Link::Opening) {
                    self.greet(greeting.channel, true);
                }
                return;
            }
            return self.turned_away(code, error);
        }
        if let (Message::Welcome(welcome), true) = (message, answers) {
            self.welcomed(&welcome);
        } else {
            self.misbehaved();
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        let floor = self.state.relay.version_floor;
        if welcome.version < floor || welcome.version == 0 || welcome.version > PROTOCOL_VERSION {
            return self.stop(StopReason::Downgraded { found: welcome.version, floor });
        }
        let fits = welcome.max_blob_size >= MIN_MAX_BLOB && is_within(welcome.max_cursor).is_ok();
        if !fits || welcome.store_id == StoreId::NONE {
            return self.misbehaved();
        }
        let Link::Greeting(mut greeting) = std::mem::replace(&mut self.link, Link::Opening) else {
            return;
        };
        let max_blob = welcome.max_blob_size.min(MAX_BELIEVED_BLOB);
        let max_seen = self.state.relay.max_seen_blob.max(max_blob);
        greeting.channel.set_max_envelope(max_seen as usize + ENVELOPE_OVERHEAD);
        self.link = Link::Online(Box::new(Session {
            channel: greeting.channel,
            requests: LiteMap::new(),
            since: self.now.mono,
        }));
        self.timers.stop(Timer::Greeting);
        self.timers.stop(Timer::Pause);
        self.heard();

        let relay = &mut self.state.relay;
        relay.version_floor = welcome.version;
        relay.default_ttl = Some(welcome.default_ttl);
        relay.max_blob = max_blob;
        relay.max_seen_blob = max_seen;
        let change = relay.change();
        self.store([change]);
        self.event(Event::Connected);
        self.compare_store(welcome, greeting.claimed.1);
        self.report_earlier_holes();
        // What was told of the log in another session, and not again, excuses nothing in this one.
        let dropped = welcome.oldest_cursor.prev().min(welcome.max_cursor);
        let believed = self.state.progress.seen_cursor.max(self.gone).max(dropped);
        if self.delivered.truncated > believed {
            self.delivered.truncated = self.state.progress.app_cursor;
        }
        self.max_cursor = welcome.max_cursor;
        self.relay_epoch = welcome.epoch;
        self.searched = false;
        self.begin_roll();
        // What became durable after HELLO had left.
        if self.durable.0 > greeting.claimed.0 {
            self.tell(&Message::Ack(Ack { cursor: self.durable.0 }));
        }
    }

    /// The socket could not be opened, or closed.
    pub(super) fn closed(&mut self, close_code: Option<u16>) {
        if matches!(self.link, Link::Idle | Link::BackingOff) {
            return;
        }
        // Anybody between here and the relay can close with any code, so it decides nothing but for how
        // long to wait: a refusal that counts comes as an ERROR, inside the channel.
        match close_code.and_then(ErrorCode::from_close_code) {
            Some(ErrorCode::Replaced) => self.back_off(REPLACED_PAUSE),
            _ => self.lost(),
        }
    }

    /// The connection is no good any more.
    pub(super) fn lost(&mut self) {
        self.back_off(Duration::ZERO);
    }

    pub(super) fn misbehaved(&mut self) {
        self.event(Event::RelayMisbehaved);
        self.lost();
    }

    /// Closes, and tries again after a random time of a window that doubles with every failure ("full
    /// jitter"), but not before `at_least`.
    pub(super) fn back_off(&mut self, at_least: Duration) {
        if let Link::Online(session) = &self.link
            && self.now.mono.since(session.since) >= GOOD_CONNECTION
        {
            self.attempts = 0;
        }
        let window = BACKOFF_FIRST.saturating_mul(1 << self.attempts.min(10)).min(BACKOFF_MAX);
        self.attempts += 1;
        let span = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        let jitter = Duration::from_millis(u64::from_le_bytes(self.random()) % span);
        self.disconnect(EngineError::Unreachable);
        if self.wanted {
            self.link = Link::BackingOff;
            self.timers.set(Timer::Reconnect, self.now.mono.plus(at_least + jitter));
        }
        self.event(Event::Disconnected { stopped: None });
    }

    /// Comes in again, as a member of the newest epoch. Who waits for an answer goes on waiting.
    pub(super) fn renew(&mut self) {
        self.renew_session = false;
        if let Link::Online(session) = std::mem::replace(&mut self.link, Link::Idle) {
            for (_, request) in session.requests {
                match request {
                    Request::Pull { id, after, limit } => {
                        self.waiting.push_back((id, Wanted::Pull { after, limit }));
                    }
                    Request::Devices { id } => self.waiting.push_back((id, Wanted::Devices)),
                    // Unless it is this one that has been read.
                    Request::Rotate { id, wish } if self.rotating.as_ref().is_some_and(|r| r.id == id) => {
                        self.waiting.push_back((id, Wanted::Rotate(wish)));
                    }
                    Request::DeleteGroup { id } => self.waiting.push_back((id, Wanted::DeleteGroup)),
                    Request::Leave { id } => self.leaving = Some(id),
                    Request::Rotate { .. }
                    | Request::Push
                    | Request::Sync { .. }
                    | Request::Again { .. }
                    | Request::Search { .. }
                    | Request::Roll
                    | Request::Resend
                    | Request::Presence => {}
                }
            }
        }
        self.rotating = None;
        self.stop_timers();
        self.outputs.push_back(Output::Disconnect);
        self.outbox.connection_lost();
    }

    /// Closes for good: somebody has to act first.
    pub(super) fn stop(&mut self, reason: StopReason) {
        self.stopped = Some(reason.clone());
        self.disconnect(reason.clone().into());
        self.event(Event::Disconnected { stopped: Some(reason) });
    }

    /// Closes because the app wants it, or because there is nothing to connect for.
    pub(super) fn hang_up(&mut self) {
        let was_online = matches!(self.link, Link::Online(_));
        self.disconnect(EngineError::NotConnected);
        if was_online {
            self.event(Event::Disconnected { stopped: None });
        }
    }

    fn stop_timers(&mut self) {
        let timers = [
            Timer::Greeting,
            Timer::Silence,
            Timer::Presence,
            Timer::Answer,
            Timer::Pause,
            Timer::PushPause,
            Timer::Reconnect,
            Timer::Roll,
        ];
        for timer in timers {
            self.timers.stop(timer);
        }
    }

    fn disconnect(&mut self, error: EngineError) {
        self.stop_timers();
        self.renew_session = false;
        self.pull_due = false;
        let link = std::mem::replace(&mut self.link, Link::Idle);
        if !matches!(link, Link::Idle | Link::BackingOff) {
            self.outputs.push_back(Output::Disconnect);
        }
        if let Link::Online(session) = link {
            for id in session.requests.into_iter().filter_map(|(_, request)| request.asker()) {
                self.rotating.take_if(|rotating| rotating.id == id);
                self.reply(id, Err(error.clone()));
            }
        }
        self.outbox.connection_lost();
        let acked = self.rotating.take().map(|rotating| rotating.id);
        for id in acked.into_iter().chain(self.leaving.take()) {
            self.reply(id, Err(error.clone()));
        }
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.reply(id, Err(error.clone()));
        }
    }

    /// The relay is there: a frame of its own arrived.
    fn heard(&mut self) {
        if self.timers.is_set(Timer::Presence) {
            // Only the answer ends the question: this may have come before the machine slept, and the line be dead.
            self.timers.set(Timer::Presence, self.now.mono.plus(PRESENCE_TIMEOUT + self.sending()));
        }
        self.timers.set(Timer::Silence, self.now.mono.plus(CLIENT_SILENCE));
    }

    /// Sends a request whose answer will be recognised by its nonce.
    pub(super) fn send_request(&mut self, message: Message, request: Request) {
        let nonce = self.nonce();
        self.send(&message, nonce);
        if let Link::Online(session) = &mut self.link {
            session.requests.insert(nonce, request);
        }
        if !self.timers.is_set(Timer::Answer) {
            self.watch_answers();
        }
    }

    /// Sends a message that has no answer.
    pub(super) fn tell(&mut self, message: &Message) {
        let nonce = self.nonce();
        self.send(message, nonce);
    }

    fn send(&mut self, message: &Message, nonce: Nonce) {
        let me = self.me();
        let (Link::Online(session), Some(group)) = (&mut self.link, &self.state.group) else {
            return;
        };
        let bytes = Envelope::seal(message, me, group.group_id, self.now.unix, nonce);
        match session.channel.seal(&bytes) {
            Ok(frames) => self.outputs.extend(frames.into_iter().map(Output::Send)),
            Err(_) => self.lost(),
        }
    }

    /// Whether a request of this kind is under way.
    pub(super) fn asked(&self, is: impl Fn(&Request) -> bool) -> bool {
        match &self.link {
            Link::Online(session) => session.requests.values().any(is),
            Link::Idle | Link::BackingOff | Link::Opening | Link::Handshaking(_) | Link::Greeting(_) => false,
        }
    }

    /// Whether requests may go out now.
    pub(super) fn may_ask(&self) -> bool {
        matches!(self.link, Link::Online(_)) && !self.timers.is_set(Timer::Pause)
    }

    /// What to tell those who wait for a connection that is not being made.
    pub(super) fn no_connection(&self) -> Option<EngineError> {
        if let Some(reason) = &self.stopped {
            return Some(reason.clone().into());
        }
        if self.state.relay.url.is_none() {
            return Some(EngineError::NoRelay);
        }
        match self.link {
            Link::Idle if self.state.group.is_none() => Some(EngineError::NoGroup),
            Link::Idle => Some(EngineError::NotConnected),
            Link::BackingOff => Some(self.shut_out.clone().unwrap_or(EngineError::Unreachable)),
            Link::Opening | Link::Handshaking(_) | Link::Greeting(_) | Link::Online(_) => None,
        }
    }

    /// Accepts another relay key: the pin, and what was known of the relay before.
    pub(super) fn repin(&mut self, key: RelayKey) {
        if self.state.relay.pin != Some(key) {
            self.hang_up();
            self.state.relay.pin = Some(key);
            self.state.relay.version_floor = 0;
        }
        if matches!(self.stopped, Some(StopReason::RelayKeyChanged { .. })) {
            self.stopped = None;
        }
    }
}
