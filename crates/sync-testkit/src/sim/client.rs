//! The devices of the simulated world: an engine, a disk, and an app that remembers what it was told.

mod app;

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use sync_e2ee::{DeviceName, Invite};
use sync_engine::{
    BatchId, Change, Command, CommandId, Engine, EngineError, Input, NewDevice, Output, Page, Reply,
    SealedInvite,
};
use sync_types::{Cursor, DeviceId, DeviceSecret, ErrorCode, InviteKey, LookupKey, RelayAddress};
use zeroize::Zeroizing;

use app::App;

use super::{Conn, ConnId, Happening, Pipe, World};

/// First byte of the outbox's keys.
const OUTBOX: u8 = 6;

#[derive(Debug)]
pub(super) struct Client {
    engine: Option<Engine>,
    /// What survives a crash.
    disk: BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>,
    writing: VecDeque<(BatchId, Vec<Change>)>,
    life: u64,
    pub(super) conn: Option<ConnId>,
    pub(super) id: DeviceId,
    pub(super) app: App,
    /// The epoch that it was in when it was last up.
    epoch: Option<u32>,
    asked: BTreeMap<CommandId, Asked>,
    next_command: u64,
    /// It is going to say that what the relay lost may be pushed again.
    agrees: bool,
    /// It is a member, or it was one.
    pub(super) joined: bool,
    /// Somebody has asked to remove it.
    doomed: bool,
    /// Somebody has removed it.
    pub(super) removed: bool,
}

#[derive(Debug)]
enum Asked {
    Connect,
    Push(Vec<u8>),
    Read,
    Pull {
        after: Cursor,
    },
    Rotate,
    /// An invite for another client.
    Invite {
        guest: usize,
    },
    Other,
}

impl Client {
    pub(super) fn new(rng: &mut ChaCha20Rng) -> Self {
        let secret = DeviceSecret::generate(rng);
        Self {
            engine: None,
            disk: BTreeMap::new(),
            writing: VecDeque::new(),
            life: 0,
            conn: None,
            id: secret.id(),
            app: App::default(),
            epoch: None,
            asked: BTreeMap::new(),
            next_command: 0,
            agrees: false,
            joined: false,
            doomed: false,
            removed: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether it takes part, as far as anybody knows.
    pub(super) fn is_member(&self) -> bool {
        self.joined && !self.removed
    }

    /// Whether the relay may refuse it: somebody has asked to remove it, or it is a newcomer of whom whoever
    /// changed the key had not heard.
    fn may_be_outside(&self) -> bool {
        self.removed || self.doomed || self.app.acked.is_empty()
    }

    fn status_group(&self) -> Option<sync_types::GroupId> {
        self.engine.as_ref()?.status().group_id
    }

    pub(super) fn epoch(&self) -> Option<u32> {
        self.epoch
    }

    pub(super) fn timeout(&self) -> Option<u64> {
        self.engine.as_ref()?.poll_timeout().map(|at| at.0)
    }

    /// Nothing waits to be sent, stored or read.
    fn quiet(&self, newest: Cursor) -> bool {
        let Some(engine) = &self.engine else { return false };
        let status = engine.status();
        // A frame that got lost is missed only when the line has been silent for a while.
        let heard_all = status.connected && status.max_cursor == newest;
        let caught_up = status.last_cursor == newest && self.app.saved == newest;
        let said_all = status.pending_push == 0 && !self.agrees && self.writing.is_empty();
        heard_all && caught_up && said_all
    }
}

impl World {
    /// The first device makes a group, the others join it with invites.
    pub(super) fn pair(&mut self) -> Result<(), String> {
        let relay = RelayAddress { url: "https://relay.example".parse().map_err(text)?, key: None };
        for n in 0..self.clients.len() {
            let seed = self.seed();
            let secret = DeviceSecret::from_bytes(self.seed());
            let name = DeviceName::shortened(&format!("device {n}"), "device");
            let relay = Some(relay.clone());
            let device = NewDevice { secret, name, platform: "sim".to_owned(), relay, access_token: None };
            let engine = Engine::create(seed, device);
            self.clients[n].id = engine.status().device_id;
            self.clients[n].engine = Some(engine);
            // A device is stored before it does anything.
            self.input(n, Input::Tick)?;
        }
        self.command(0, Asked::Connect, Command::Connect)?;
        self.clients[0].joined = true;
        for n in 1..self.plan.devices {
            if n == 1 {
                // The relay's key is not known yet, so the first connection has to be waited for.
                let push = b"first".to_vec();
                let command = Command::Push { data: Zeroizing::new(push.clone()), ttl: None, token: None };
                self.command(0, Asked::Push(push), command)?;
                self.run_until(self.ms + 1_000)?;
            }
            self.invite(0, n)?;
            self.run_until(self.ms + 1_000)?;
            if !self.clients[n].joined {
                return Err("no invite was sealed".to_owned());
            }
        }
        self.run_until(self.ms + 2_000)
    }

    /// A member lets another device in.
    pub(super) fn invite(&mut self, host: usize, guest: usize) -> Result<(), String> {
        let (lookup, key) = invite_keys();
        self.command(host, Asked::Invite { guest }, Command::SealInvite { lookup, key })
    }

    /// Somebody comes in by an invite.
    fn joins(&mut self, n: usize, sealed: &SealedInvite) -> Result<(), String> {
        let (lookup, key) = invite_keys();
        let invite = Invite::open(&lookup, &key, &sealed.payload).map_err(text)?;
        self.clients[n].joined = true;
        self.command(n, Asked::Other, Command::Join(Box::new(invite)))?;
        self.command(n, Asked::Connect, Command::Connect)
    }

    /// A device that has been a member nowhere joins, or one that is up to it changes the group's key.
    pub(super) fn membership_step(&mut self, n: usize) -> Result<(), String> {
        let guest = self.clients.iter().position(|client| !client.joined && client.is_up());
        if let (Some(guest), 0) = (guest, self.below(2)) {
            return self.invite(n, guest);
        }
        let members: Vec<_> =
            (0..self.clients.len()).filter(|m| *m != n && self.clients[*m].is_member()).collect();
        let mut remove = Vec::new();
        if members.len() >= 2 && self.chance(2) {
            let whom = members[self.below(members.len() as u64) as usize];
            remove.push(self.clients[whom].id);
            self.clients[whom].doomed = true;
        }
        // What told of a newcomer may be lost with the relay's store, and a new key leaves out who is unknown.
        let heard = &self.clients[n].app.joined;
        let unheard: Vec<_> = (self.plan.devices..self.clients.len())
            .filter(|m| self.plan.wipes && *m != n && !heard.contains(&self.clients[*m].id))
            .collect();
        unheard.into_iter().for_each(|m| self.clients[m].doomed |= self.clients[m].joined);
        self.command(n, Asked::Rotate, Command::Rotate { remove, keep_history: true })
    }

    /// Nothing is on its way, and nobody waits for anything.
    pub(super) fn quiet(&self) -> bool {
        let newest = self
            .group()
            .map(|group| self.relay.store.log(group))
            .unwrap_or_default()
            .last()
            .map(|blob| blob.cursor);
        let quiet = |n| !self.takes_part(n) || self.clients[n].quiet(newest.unwrap_or(Cursor::ZERO));
        self.agenda.is_empty() && self.relay.is_idle() && (0..self.clients.len()).all(quiet)
    }

    /// The group that all of this is about, as far as a device is up that knows it.
    pub(super) fn group(&self) -> Option<sync_types::GroupId> {
        self.clients.iter().filter(|client| client.joined).find_map(Client::status_group)
    }

    /// A device starts from what its disk holds.
    pub(super) fn boot(&mut self, n: usize) -> Result<(), String> {
        let seed = self.seed();
        let rows = self.clients[n].disk.clone();
        let engine = Engine::open(seed, rows).map_err(|e| format!("client {n} cannot start: {e}"))?;
        self.clients[n].agrees = true;
        // A crash may have come before that was stored.
        self.clients[n].joined &= engine.status().group_id.is_some();
        let durable = engine.status().last_cursor;
        self.clients[n].engine = Some(engine);
        let app = &mut self.clients[n].app;
        let unsure = app.read.iter().filter(|((life, cursor), _)| *life == app.resets && *cursor > durable);
        app.may_repeat.extend(unsure.map(|(_, (_, data))| data.clone()));
        app.may_repeat.extend(app.unsure.drain(..));
        self.command(n, Asked::Connect, Command::Connect)
    }

    /// A device loses power: what its disk had not finished is gone.
    pub(super) fn crash(&mut self, n: usize) {
        let client = &mut self.clients[n];
        client.engine = None;
        client.life += 1;
        client.writing.clear();
        let forgets = self.chance(2);
        let client = &mut self.clients[n];
        client.app.has = client.app.has.filter(|_| !forgets);
        for asked in std::mem::take(&mut client.asked).into_values() {
            if let Asked::Push(data) = asked {
                client.app.unheard.push(data);
            }
        }
        if let Some(conn) = client.conn.take() {
            let delay = self.below(200);
            self.later(delay, Happening::ClosedAtRelay(conn));
            self.conns.remove(&conn);
        }
    }

    fn command(&mut self, n: usize, asked: Asked, command: Command) -> Result<(), String> {
        let client = &mut self.clients[n];
        let id = CommandId(client.next_command);
        client.next_command += 1;
        client.asked.insert(id, asked);
        self.input(n, Input::Command(id, command))
    }

    pub(super) fn tick_all(&mut self) -> Result<(), String> {
        (0..self.clients.len()).try_for_each(|n| self.input(n, Input::Tick))
    }

    pub(super) fn tick_clients(&mut self) -> Result<(), String> {
        for n in 0..self.clients.len() {
            if self.clients[n].timeout().is_some_and(|at| at <= self.ms) {
                self.input(n, Input::Tick)?;
            }
        }
        Ok(())
    }

    /// Something comes in on a connection, unless the client has another one by now.
    pub(super) fn at_client(&mut self, conn: ConnId, input: Input) -> Result<(), String> {
        let Some(n) = self.conns.get(&conn).map(|c| c.client) else {
            return Ok(());
        };
        if self.clients[n].conn != Some(conn) {
            return Ok(());
        }
        if matches!(input, Input::Closed(_)) {
            self.clients[n].conn = None;
        }
        self.input(n, input)
    }

    pub(super) fn opens(&mut self, conn: ConnId) -> Result<(), String> {
        let reached = self.conns.contains_key(&conn) && self.relay_accepts(conn);
        self.at_client(conn, if reached { Input::Connected } else { Input::Closed(None) })
    }

    pub(super) fn disk_done(&mut self, n: usize, life: u64) -> Result<(), String> {
        let client = &mut self.clients[n];
        if client.life != life {
            return Ok(());
        }
        let Some((batch, changes)) = client.writing.pop_front() else {
            return Ok(());
        };
        for change in changes {
            match change.value {
                Some(value) => client.disk.insert(change.key, value),
                None => client.disk.remove(&change.key),
            };
        }
        self.input(n, Input::Stored(batch))
    }

    pub(super) fn input(&mut self, n: usize, input: Input) -> Result<(), String> {
        let now = self.now();
        if let Some(engine) = &mut self.clients[n].engine {
            engine.handle(now, input);
        }
        while let Some(output) = self.clients[n].engine.as_mut().and_then(Engine::poll_output) {
            self.output(n, output)?;
        }
        let client = &mut self.clients[n];
        if let Some(engine) = &client.engine {
            client.app.known_read = engine.status().last_cursor;
            client.epoch = engine.status().epoch;
        }
        Ok(())
    }

    fn output(&mut self, n: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Connect(_) => {
                let conn = self.next_conn;
                self.next_conn += 1;
                self.conns.insert(conn, Conn { client: n, up: Pipe::default(), down: Pipe::default() });
                self.clients[n].conn = Some(conn);
                let delay = 1 + self.below(50);
                self.later(delay, Happening::Opens(conn));
            }
            Output::Send(frame) => {
                if self.plan.drop_outbox_early {
                    self.clients[n].disk.retain(|key, _| key.first() != Some(&OUTBOX));
                }
                if let Some(conn) = self.clients[n].conn {
                    self.transmit(conn, true, frame);
                }
            }
            Output::Disconnect => {
                if let Some(conn) = self.clients[n].conn.take() {
                    let delay = self.below(100);
                    self.later(delay, Happening::ClosedAtRelay(conn));
                    self.conns.remove(&conn);
                }
            }
            Output::Store(batch, changes) => {
                let (life, delay) = (self.clients[n].life, 1 + self.below(20));
                // Writes finish in their order.
                let earlier = self.clients[n].writing.len() as u64 * 20;
                self.clients[n].writing.push_back((batch, changes));
                self.later(delay + earlier, Happening::Stored { client: n, life });
            }
            Output::Event(event) => self.heard(n, event)?,
            Output::Reply(id, result) => {
                let asked = self.clients[n].asked.remove(&id).ok_or("a command was answered twice")?;
                match (asked, result) {
                    (Asked::Push(data), Ok(Reply::Queued(blob_id))) => {
                        self.clients[n].app.promised.insert(blob_id, data);
                    }
                    (Asked::Push(_), Err(EngineError::OutboxFull)) => {}
                    (Asked::Connect, Ok(Reply::Done) | Err(EngineError::Unreachable)) => {}
                    (Asked::Connect, Err(EngineError::Refused { code: ErrorCode::EpochStale, .. })) => {
                        self.clients[n].removed |= self.clients[n].app.acked.is_empty();
                    }
                    (Asked::Read, Ok(Reply::Page(page))) => self.app_saves(n, page)?,
                    (Asked::Pull { after }, Ok(Reply::Page(page))) => ascending(&page, after)?,
                    (Asked::Invite { guest }, Ok(Reply::Invite(invite))) => {
                        if !self.clients[guest].joined && self.clients[guest].is_up() {
                            self.joins(guest, &invite)?;
                        }
                    }
                    (Asked::Invite { .. }, Err(_)) => {}
                    (Asked::Rotate, Ok(Reply::Done)) => self.rotations += 1,
                    // Not everybody has heard of everybody else yet.
                    (Asked::Rotate, Err(EngineError::NoSuchDevice(_))) => {}
                    (Asked::Rotate, Err(EngineError::Unreachable | EngineError::NotConnected)) => {}
                    (Asked::Rotate, Err(EngineError::Refused { code: ErrorCode::RateLimited, .. })) => {}
                    (
                        _,
                        Err(
                            EngineError::Stopped(_)
                            | EngineError::Refused { code: ErrorCode::EpochStale, .. },
                        ),
                    ) if self.clients[n].may_be_outside() || self.is_stranded(n) => {}
                    (Asked::Other, Ok(_)) | (Asked::Read | Asked::Pull { .. }, Err(_)) => {}
                    (asked, result) => return Err(format!("client {n}: {asked:?} got {result:?}")),
                }
            }
        }
        Ok(())
    }

    /// Whether a device is a member, and can know what the others know.
    pub(super) fn takes_part(&self, n: usize) -> bool {
        self.clients[n].is_member() && !self.is_stranded(n)
    }

    /// Whether a device has missed a rotation that was lost with the relay's store: it needs its maker, or
    /// another invite.
    fn is_stranded(&self, n: usize) -> bool {
        let others = self.clients.iter().filter(|client| client.is_member()).filter_map(Client::epoch).max();
        self.rotation_lost && self.clients[n].epoch() < others
    }
}

fn invite_keys() -> (LookupKey, InviteKey) {
    (LookupKey([1; 16]), InviteKey::from_bytes([2; 32]))
}

fn ascending(page: &Page, after: Cursor) -> Result<(), String> {
    let mut last = after;
    for blob in &page.blobs {
        if blob.cursor <= last || blob.cursor > page.max_cursor {
            return Err(format!("a page out of order at cursor {}", blob.cursor));
        }
        last = blob.cursor;
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
