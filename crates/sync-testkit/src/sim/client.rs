//! The devices of the simulated world: an engine, a disk, and an app that remembers what it was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use sync_e2ee::{DeviceName, Invite};
use sync_engine::{
    BatchId, Change, Command, CommandId, Engine, EngineError, Event, Input, NewDevice, Output, Page, PageEnd,
    Reply, SealedInvite, StopReason,
};
use sync_types::{BlobId, Cursor, DeviceId, DeviceSecret, ErrorCode, InviteKey, LookupKey, RelayAddress};
use zeroize::Zeroizing;

use super::{Conn, ConnId, Happening, Pipe, World};

/// First byte of the outbox's keys.
const OUTBOX: u8 = 6;

/// What an app remembers over crashes of its device.
#[derive(Debug, Default)]
pub(super) struct App {
    /// What it pushed and was promised, by blob id.
    pub(super) promised: BTreeMap<BlobId, Vec<u8>>,
    /// What it pushed without hearing of it again: the device crashed before.
    pub(super) unheard: Vec<Vec<u8>>,
    /// What the relay acknowledged, with its cursor.
    pub(super) acked: BTreeMap<BlobId, Cursor>,
    /// What it read, by the number of the relay's store and the cursor.
    pub(super) read: BTreeMap<(usize, Cursor), (DeviceId, Vec<u8>)>,
    /// Of whose blobs it was told that some were refused, or missing.
    pub(super) warned_of: BTreeSet<DeviceId>,
    /// What it was told not to count on; a rotation that comes back late may say that it counts.
    refused: BTreeSet<(usize, Cursor)>,
    /// How often the relay was reset, as far as it heard.
    pub(super) resets: usize,
    /// Up to here it has everything, by its own book.
    pub(super) saved: Cursor,
    /// What it read and its device had not stored as read when it crashed: it may be shown again.
    pub(super) may_repeat: BTreeSet<Vec<u8>>,
    /// What its device knew to be read when the app last looked.
    known_read: Cursor,
    /// What it read of a store that is gone, and its device did not know to be read when it was lost.
    unsure: Vec<Vec<u8>>,
    /// The end of the last page that it saved; not every app remembers that over a crash.
    has: Option<PageEnd>,
    pushed: u64,
}

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

    /// Whether the relay may refuse it: somebody has asked to remove it, or it is a newcomer that nobody
    /// had heard of when the key was changed.
    fn may_be_outside(&self) -> bool {
        self.removed || self.doomed || self.app.acked.is_empty()
    }

    fn status_group(&self) -> Option<sync_types::GroupId> {
        self.engine.as_ref()?.status().group_id
    }

    pub(super) fn epoch(&self) -> Option<u32> {
        self.engine.as_ref()?.status().epoch
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

    pub(super) fn app_pushes(&mut self, n: usize) -> Result<(), String> {
        for _ in 0..1 + self.below(4) {
            let size = match self.below(30) {
                0 => 70_000,
                1 => 6_000,
                2 => 0,
                _ => self.below(300),
            };
            let app = &mut self.clients[n].app;
            app.pushed += 1;
            let mut data = format!("{n}:{}:", app.pushed).into_bytes();
            data.resize(data.len() + size as usize, b'.');
            let command = Command::Push { data: Zeroizing::new(data.clone()), ttl: None, token: None };
            self.command(n, Asked::Push(data), command)?;
        }
        Ok(())
    }

    pub(super) fn app_reads(&mut self, n: usize) -> Result<(), String> {
        if std::mem::take(&mut self.clients[n].agrees) {
            self.command(n, Asked::Other, Command::Restore)?;
        }
        if self.clients[n].asked.values().any(|asked| matches!(asked, Asked::Read)) {
            return Ok(());
        }
        let limit = [0, 1, 7][self.below(3) as usize];
        let has = self.clients[n].app.has;
        self.command(n, Asked::Read, Command::Read { limit, has })
    }

    pub(super) fn app_pages(&mut self, n: usize) -> Result<(), String> {
        let newest = self.clients[n].app.saved.get();
        let after = Cursor::new(self.below(newest + 1)).unwrap_or_default();
        self.command(n, Asked::Pull { after }, Command::Pull { after, limit: 5 })
    }

    pub(super) fn app_acks(&mut self, n: usize) -> Result<(), String> {
        let Some(end) = self.clients[n].app.has else { return Ok(()) };
        let command = Command::Ack { cursor: end.cursor, generation: Some(end.generation) };
        self.command(n, Asked::Other, command)
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

    fn heard(&mut self, n: usize, event: Event) -> Result<(), String> {
        if let Event::DeviceRemoved { device_id, .. } = &event
            && let Some(client) = self.clients.iter_mut().find(|client| client.id == *device_id)
        {
            client.removed = true;
        }
        let stopped = matches!(event, Event::Disconnected { stopped: Some(_) });
        // Of two keys for one epoch, made before and after the relay lost its store, the one that comes back
        // first counts: whoever has the other one needs another invite.
        let outdone = self.rotation_lost
            && matches!(
                &event,
                Event::Disconnected {
                    stopped: Some(StopReason::Refused { code: ErrorCode::Unauthenticated, .. })
                }
            );
        self.clients[n].removed |= stopped && (outdone || self.clients[n].may_be_outside());
        let outside = !self.takes_part(n);
        let quiet = |id| self.clients.iter().any(|c| c.id == id && c.app.acked.is_empty());
        // A newcomer that crashed before it could announce itself is named, and rightly.
        if matches!(event, Event::UnknownDevice { device_id } if quiet(device_id)) {
            return Ok(());
        }
        // A rotation may overtake what comes back after a reset: said, and then pushed again.
        let overtaken = self.rotation_lost
            && matches!(
                event,
                Event::BlobRefused { .. }
                    | Event::ChainBroken { .. }
                    | Event::RotationRefused { .. }
                    | Event::PushRenamed { .. }
            );
        let app = &mut self.clients[n].app;
        if let Event::BlobRefused { sender, .. } | Event::ChainBroken { sender, .. } = &event {
            app.warned_of.insert(*sender);
        }
        match event {
            Event::RelayReset => {
                let (life, known) = (app.resets, app.known_read);
                let unsure = app.read.range((life, known.next())..(life + 1, Cursor::ZERO));
                app.unsure.extend(unsure.map(|(_, (_, data))| data.clone()));
                app.resets += 1;
                app.known_read = Cursor::ZERO;
                app.saved = Cursor::ZERO;
                if !self.plan.wipes {
                    return Err(format!("client {n} saw a reset where there was none"));
                }
            }
            Event::RestoreWaits => self.clients[n].agrees = true,
            Event::PushRenamed { from, .. } if outside || overtaken => {
                self.renamed.extend(app.promised.get(&from).cloned());
            }
            Event::BlobRefused { cursor, .. } if outside || overtaken => {
                app.refused.insert((app.resets, cursor));
            }
            _ if outside || overtaken => {}
            Event::PushAcked { blob_id, cursor } => {
                if let Some(before) = app.acked.insert(blob_id, cursor)
                    && before != cursor
                    && !self.plan.wipes
                {
                    return Err(format!("client {n}: {blob_id:?} was acked as {before} and as {cursor}"));
                }
            }
            Event::HistoryTruncated { .. } if self.plan.wipes => {}
            event @ (Event::PushRejected { .. }
            | Event::PushRenamed { .. }
            | Event::BlobRefused { .. }
            | Event::ChainBroken { .. }
            | Event::Forked { .. }
            | Event::RotationRefused { .. }
            | Event::RotationWithheld { .. }
            | Event::UnknownDevice { .. }
            | Event::InviteMisused
            | Event::HistoryTruncated { .. }
            | Event::Disconnected { stopped: Some(_) }) => {
                return Err(format!("client {n}: {event:?}"));
            }
            Event::Connected
            | Event::Disconnected { stopped: None }
            | Event::BlobAvailable { .. }
            | Event::RelayFull { .. }
            | Event::DeviceJoined { .. }
            | Event::DeviceRemoved { .. }
            | Event::KeyRotated { .. }
            | Event::PresenceChanged { .. }
            | Event::RelayMisbehaved => {}
        }
        Ok(())
    }

    /// The app saves a page together with its cursor. After a crash it may be given a page again; it
    /// must then be the same one.
    fn app_saves(&mut self, n: usize, page: Page) -> Result<(), String> {
        ascending(&page, Cursor::ZERO)?;
        let me = self.clients[n].id;
        let app = &mut self.clients[n].app;
        app.has = Some(page.end());
        for blob in page.blobs {
            let at = format!("client {n} cursor {}", blob.cursor);
            if blob.sender == me {
                return Err(format!("{at}: an own blob"));
            }
            let new = (blob.sender, blob.data);
            match app.read.get(&(app.resets, blob.cursor)) {
                Some(known) if *known != new => return Err(format!("{at}: another blob than before")),
                Some(_) if blob.cursor > app.saved => return Err(format!("{at}: read before it was there")),
                Some(_) => {}
                None if blob.cursor <= app.saved && !app.refused.contains(&(app.resets, blob.cursor)) => {
                    return Err(format!("{at}: appeared behind the reader"));
                }
                None => {
                    app.read.insert((app.resets, blob.cursor), new);
                }
            }
        }
        app.saved = app.saved.max(page.max_cursor);
        Ok(())
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
