//! The engine: what it holds, and how an input becomes outputs.

mod ahead;
mod answers;
mod chains;
mod group;
mod heads;
mod intake;
mod link;
mod outbox;
mod reader;
mod request;
mod roster;
mod rotation;
mod sent;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use litemap::LiteMap;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sync_e2ee::{DeviceName, EpochKeys};
use sync_types::limits::DEFAULT_MAX_BLOB;
use sync_types::{
    AccessToken, BlobHash, BlobId, ChainId, Cursor, DeviceId, DeviceSecret, Epoch, MonoMs, Nonce, Now,
    RelayAddress, Rotate, StoreId, UnixMs,
};
use zeroize::Zeroizing;

use crate::api::{BatchId, Command, CommandId, Event, Input, Output, Reply, Status};
use crate::error::{EngineError, StateError, StopReason};
use crate::rows::{ChainRow, Change, DeviceRow, ProgressRow, RelayRow, Restore, State, Tips};
use crate::timer::{Timer, Timers};
use crate::window::Window;
use ahead::Ahead;
use chains::Stubs;
use heads::Heads;
use intake::Held;
use link::{Connecting, Link};
use outbox::Outbox;
use reader::{Delivered, Wanted};
use roster::Strangers;
use rotation::{Rotating, Wish};
use sent::Sent;

/// A wall clock that moved this much further than the other one was set, or slept.
const CLOCK_JUMP: Duration = Duration::from_secs(30);

/// A device that has no state yet.
#[derive(Debug)]
pub struct NewDevice {
    /// Its key pair: who it will be.
    pub secret: DeviceSecret,
    /// What people will call it.
    pub name: DeviceName,
    /// What it runs on: `linux`, `web` …; at most 32 bytes, cut there.
    pub platform: String,
    /// Its relay; may also come with an invite.
    pub relay: Option<RelayAddress>,
    /// For relays that create groups only for those they know.
    pub access_token: Option<AccessToken>,
}

/// What waits for a batch to be durable.
#[derive(Debug)]
enum Then {
    Reply(CommandId, Reply),
    /// The outbox up to this position may leave.
    Send(u64),
    /// The app's cursor may be told; with the blob there, where known.
    Ack(Cursor, Option<BlobId>),
    /// The rotation may leave.
    Rotate(Box<(CommandId, Wish, Rotate)>),
}

/// A client of one relay, in at most one group. See the [crate](crate) for the loop around it.
///
/// - `create`, `open`: a new device, or a stored one.
/// - `handle`: something happened; any number of outputs follow.
/// - `poll_output`: the next thing to do; call it until it gives `None`.
/// - `poll_timeout`: when to call `handle` at the latest.
/// - `status`: what an app may want to show.
///
/// `now` must not go back on its monotonic side.
#[derive(Debug)]
pub struct Engine {
    state: State,
    rng: ChaCha20Rng,
    now: Now,
    outputs: VecDeque<Output>,
    timers: Timers,
    next_batch: u64,
    unstored: LiteMap<BatchId, Vec<Then>>,
    /// What this step changes, by row; stored in one batch at its end.
    changes: BTreeMap<Vec<u8>, Change>,
    then: Vec<Then>,

    link: Link,
    /// Whether the app wants a connection.
    wanted: bool,
    stopped: Option<StopReason>,
    /// Why the relay did not let this device in the last time, if that may change by itself.
    shut_out: Option<EngineError>,
    /// Failed attempts since the last good connection.
    attempts: u32,
    /// Keys of the epochs at hand, derived once.
    keys: BTreeMap<Epoch, EpochKeys>,

    outbox: Outbox,
    sent: Sent,
    flushes: Vec<CommandId>,
    connects: Vec<Connecting>,
    /// The newest cursor heard of.
    max_cursor: Cursor,
    window: Window,
    delivered: Delivered,
    /// The app's cursor, and the blob there, as far as they are durable: what HELLO may say.
    durable: (Cursor, Option<BlobId>),
    /// Commands that need a connection which is being made.
    waiting: VecDeque<(CommandId, Wanted)>,

    heads: Heads,
    /// How often the relay has shown something else at a cursor than it had shown there before.
    altered: u32,
    stubs: Stubs,
    ahead: Ahead,
    strangers: Strangers,
    /// The newest epoch that the relay claims.
    relay_epoch: Epoch,
    /// The newest epoch of which the app was told that the relay withholds it.
    withheld: Epoch,
    /// Whether it was looked for on this connection.
    searched: bool,
    /// Whether everything that there was has been read since this engine began, or the log started over.
    reached_end: bool,
    /// Since when, in the log and by the clock, something has been missing that was not reported.
    holes_since: Option<(Cursor, MonoMs)>,
    /// Up to here the relay has said that there is nothing after what was seen: nothing should turn up there.
    gone: Cursor,
    /// Where the end was when it was last looked at.
    checked_end: Option<Cursor>,
    /// What became available while nothing could be shown.
    held: VecDeque<Held>,
    /// There may be more in the log than this device was told.
    pull_due: bool,
    /// This connection was made in an epoch that is over.
    renew_session: bool,
    /// An epoch was entered, and this device has to show itself in it.
    announce_due: bool,
    /// The rotation that was sent, or stored, and has not been read in the log.
    rotating: Option<Rotating>,
    /// Who waits for this device to be gone.
    leaving: Option<CommandId>,
    /// The others have been told, or are about to be.
    leave_said: bool,
}

impl Engine {
    /// A new device. `seed` is 32 fresh random bytes; the first output stores the device.
    pub fn create(seed: [u8; 32], device: NewDevice) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (url, pin) = device.relay.map_or((None, None), |relay| (Some(relay.url), relay.key));
        let mut platform = device.platform;
        while platform.len() > sync_e2ee::MAX_PLATFORM {
            platform.pop();
        }
        let state = State {
            device: DeviceRow {
                secret: device.secret,
                name: device.name,
                platform,
                access_token: device.access_token,
            },
            relay: RelayRow {
                url,
                pin,
                version_floor: 0,
                default_ttl: None,
                max_blob: DEFAULT_MAX_BLOB,
                max_seen_blob: DEFAULT_MAX_BLOB,
            },
            group: None,
            progress: ProgressRow {
                store_id: StoreId::NONE,
                generation: 0,
                app_cursor: Cursor::ZERO,
                app_blob: None,
                seen_cursor: Cursor::ZERO,
                head: None,
                joined: None,
                restore: Restore::No,
                restored_at: UnixMs(0),
                passed: None,
            },
            chain: new_chain(&mut rng),
            outbox: VecDeque::new(),
            sent: LiteMap::new(),
            peers: LiteMap::new(),
            cuts: LiteMap::new(),
            heads: LiteMap::new(),
            rotation: None,
        };
        let changes =
            vec![state.device.change(), state.relay.change(), state.progress.change(), state.chain.change()];
        let mut engine = Self::with(rng, state);
        engine.store(changes);
        engine.finish_step();
        engine
    }

    /// A stored device, from all rows that its outputs stored. `seed` is 32 fresh random bytes.
    ///
    /// # Errors
    /// When the rows are not a state that this version understands.
    pub fn open(
        seed: [u8; 32],
        rows: impl IntoIterator<Item = (Vec<u8>, Zeroizing<Vec<u8>>)>,
    ) -> Result<Self, StateError> {
        Ok(Self::with(ChaCha20Rng::from_seed(seed), State::load(rows)?))
    }

    fn with(rng: ChaCha20Rng, mut state: State) -> Self {
        let (mut waiting, mut sent) = (VecDeque::new(), Vec::new());
        for (position, row) in std::mem::take(&mut state.outbox) {
            match state.sent.remove(&position) {
                Some(acked) => sent.push((position, row, acked)),
                None => waiting.push_back((position, row)),
            }
        }
        let progress = &state.progress;
        let sent = Sent::new(sent, progress.generation, progress.seen_cursor);
        let epoch = state.group.as_ref().map_or(0, |group| group.key_log.epoch());
        let outbox = Outbox::new(waiting, sent.last_position(), epoch);
        let heads = Heads::new(std::mem::take(&mut state.heads));
        let (app_cursor, app_blob) = (state.progress.app_cursor, state.progress.app_blob);
        let max_cursor = state.progress.seen_cursor.max(app_cursor);
        let mut engine = Self {
            state,
            rng,
            now: Now::default(),
            outputs: VecDeque::new(),
            timers: Timers::default(),
            next_batch: 0,
            unstored: LiteMap::new(),
            changes: BTreeMap::new(),
            then: Vec::new(),
            link: Link::Idle,
            wanted: false,
            stopped: None,
            shut_out: None,
            attempts: 0,
            keys: BTreeMap::new(),
            outbox,
            sent,
            flushes: Vec::new(),
            connects: Vec::new(),
            max_cursor,
            window: Window::at(app_cursor),
            delivered: Delivered::at(app_cursor),
            durable: (app_cursor, app_blob),
            waiting: VecDeque::new(),
            heads,
            stubs: Stubs::default(),
            ahead: Ahead::default(),
            strangers: Strangers::default(),
            relay_epoch: 0,
            withheld: 0,
            altered: 0,
            searched: false,
            reached_end: false,
            holes_since: None,
            gone: Cursor::ZERO,
            checked_end: None,
            held: VecDeque::new(),
            pull_due: false,
            renew_session: false,
            announce_due: false,
            rotating: None,
            leaving: None,
            leave_said: false,
        };
        engine.derive_keys();
        engine.fix_what_counts();
        engine
    }

    /// Something happened, now.
    pub fn handle(&mut self, now: Now, input: Input) {
        let jumped = self.clock_jumped(now);
        self.now = now;
        if jumped {
            self.woke();
        }
        match input {
            Input::Connected => self.opened(),
            Input::Frame(frame) => self.frame(&frame),
            Input::Closed(code) => self.closed(code),
            Input::Stored(batch) => self.stored(batch),
            Input::Command(id, command) => self.command(id, command),
            Input::Woke => self.woke(),
            Input::Tick => {}
        }
        while let Some(timer) = self.timers.expired(now.mono) {
            self.timer(timer);
        }
        self.advance();
        self.finish_step();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) at the latest, with [`Input::Tick`] if nothing else.
    pub fn poll_timeout(&self) -> Option<MonoMs> {
        self.timers.next()
    }

    /// What an app may want to show.
    pub fn status(&self) -> Status {
        Status {
            device_id: self.me(),
            name: self.state.device.name.clone(),
            group_id: self.state.group.as_ref().map(|group| group.group_id),
            relay: self.state.relay.url.clone(),
            relay_key: self.state.relay.pin,
            connected: matches!(self.link, Link::Online(_)),
            stopped: self.stopped.clone(),
            last_cursor: self.state.progress.app_cursor,
            max_cursor: self.max_cursor,
            pending_push: self.outbox.len(),
            default_ttl: self.state.relay.default_ttl,
            epoch: self.state.group.as_ref().map(|group| group.key_log.epoch()),
            fingerprint: self.state.group.as_ref().map(|group| group.key_log.fingerprint(&group.group_id)),
        }
    }

    fn command(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Connect => {
                self.wanted = true;
                self.stopped = None;
                self.attempts = 0;
                self.reconnect();
                self.connects.push(Connecting { id, late: self.is_connecting() });
            }
            Command::Disconnect => {
                self.wanted = false;
                self.hang_up();
                self.reply(id, Ok(Reply::Done));
            }
            Command::Push { data, ttl, token } => {
                if let Err(error) = self.push(id, &data, ttl, token) {
                    self.reply(id, Err(error));
                }
            }
            Command::Flush if !self.wanted && self.has_unsent() => {
                self.reply(id, Err(EngineError::NotConnected));
            }
            Command::Flush => self.flushes.push(id),
            Command::Ack { cursor, generation } => self.app_ack(id, cursor, generation),
            Command::Join(invite) => {
                if let Err(error) = self.join(id, *invite) {
                    self.reply(id, Err(error));
                }
            }
            Command::TrustRelay(key) => self.trust_relay(id, key),
            Command::Read { limit, has } => {
                self.app_has(has);
                self.waiting.push_back((id, Wanted::Read { limit }));
            }
            Command::Pull { after, limit } => self.waiting.push_back((id, Wanted::Pull { after, limit })),
            Command::Devices => self.waiting.push_back((id, Wanted::Devices)),
            Command::SealInvite { lookup, key } => {
                self.waiting.push_back((id, Wanted::Invite { lookup, key }));
            }
            Command::Rotate { remove, keep_history } => {
                let wish = Wish { remove, keep_history, tries: 0 };
                self.waiting.push_back((id, Wanted::Rotate(wish)));
            }
            Command::Restore => self.agree_to_restore(id),
            Command::Leave => self.waiting.push_back((id, Wanted::Leave)),
            Command::DeleteGroup => self.waiting.push_back((id, Wanted::DeleteGroup)),
            Command::Membership => {
                let membership = self.membership().map(|invite| Reply::Membership(Box::new(invite)));
                self.reply(id, membership);
            }
            Command::InviteTaken => self.invite_taken(id),
        }
    }

    /// Does what can be done now: called at the end of every step.
    fn advance(&mut self) {
        // Not in the midst of the log: an announcement says how far that was seen.
        if std::mem::take(&mut self.announce_due) {
            self.announce();
        }
        self.serve_local();
        self.connect_if_wanted();
        self.settle_connects();
        self.refuse_waiting();
        self.request();
        self.at_end();
        self.connect_if_wanted();
        self.finish_flushes();
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Reconnect => self.reconnect(),
            Timer::Greeting | Timer::Presence => self.lost(),
            Timer::Answer => self.misbehaved(),
            Timer::Silence => self.probe(),
            Timer::Roll => self.call_roll(),
            Timer::Strangers => self.name_strangers(),
            // Their being over is what counts; `advance` goes on.
            Timer::Pause | Timer::PushPause | Timer::Reader => {}
        }
    }

    /// Whether the wall clock moved much more than the steady one: the machine slept.
    fn clock_jumped(&self, now: Now) -> bool {
        let steady = now.mono.since(self.now.mono);
        let wall = Duration::from_millis(now.unix.0.saturating_sub(self.now.unix.0));
        self.now != Now::default() && wall > steady + CLOCK_JUMP
    }

    fn me(&self) -> DeviceId {
        self.state.device.secret.id()
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn reply(&mut self, id: CommandId, result: Result<Reply, EngineError>) {
        self.outputs.push_back(Output::Reply(id, result));
    }

    /// Answers once everything before is durable.
    fn reply_when_stored(&mut self, id: CommandId, reply: Reply) {
        if !self.changes.is_empty() {
            self.then.push(Then::Reply(id, reply));
        } else if let Some((_, then)) = self.unstored.iter_mut().next_back() {
            then.push(Then::Reply(id, reply));
        } else {
            self.reply(id, Ok(reply));
        }
    }

    /// Notes what this step changes.
    fn store(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.changes.insert(change.key.clone(), change);
        }
    }

    /// What to do once this step's changes are durable.
    fn then(&mut self, then: Then) {
        self.then.push(then);
    }

    /// Has this step's changes stored, all or none.
    fn finish_step(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let batch = BatchId(self.next_batch);
        self.next_batch += 1;
        self.unstored.insert(batch, std::mem::take(&mut self.then));
        let changes = std::mem::take(&mut self.changes).into_values().collect();
        self.outputs.push_back(Output::Store(batch, changes));
    }

    fn stored(&mut self, batch: BatchId) {
        for then in self.unstored.remove(&batch).unwrap_or_default() {
            match then {
                Then::Reply(id, reply) => self.reply(id, Ok(reply)),
                Then::Send(position) => self.outbox.durable(position),
                Then::Ack(cursor, blob_id) => self.app_cursor_durable(cursor, blob_id),
                Then::Rotate(rotation) => {
                    let (id, wish, rotate) = *rotation;
                    self.send_rotation(id, wish, rotate);
                }
            }
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn nonce(&mut self) -> Nonce {
        Nonce(self.random())
    }
}

/// A chain without blobs, and a first half for its blob ids.
fn new_chain(rng: &mut ChaCha20Rng) -> ChainRow {
    let mut chain_id = ChainId([0; 16]);
    rng.fill_bytes(&mut chain_id.0);
    ChainRow {
        chain_id,
        next_seq: 0,
        prev: BlobHash([0; 32]),
        prev_expires: UnixMs(0),
        next_blob: 0,
        logged: None,
        older: Tips::default(),
        logged_in: 0,
    }
}

impl ChainRow {
    /// The next blob id: a UUIDv8 (RFC 9562 §5.8) whose first half is the chain's, and whose second
    /// half counts. Random ids would cost the relay's index several times as much.
    fn take_blob_id(&mut self) -> BlobId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.chain_id.0[..8]);
        id[6] = 0x80 | (id[6] & 0x0f);
        id[8..].copy_from_slice(&(0x8000_0000_0000_0000 | self.next_blob).to_be_bytes());
        self.next_blob += 1;
        BlobId(id)
    }
}
