//! A device opposite the liar: a real engine, a disk that survives a restart, and an app that keeps
//! everything it was given.

use std::collections::{BTreeMap, VecDeque};

use sync_e2ee::DeviceName;
use sync_engine::{
    BatchId, Blob, Change, Command, CommandId, Engine, EngineError, Event, Input, NewDevice, Output, PageEnd,
    Reply,
};
use sync_types::{DeviceId, DeviceSecret, MonoMs, Now, RelayAddress, UnixMs};
use zeroize::Zeroizing;

/// 2026-01-01, in milliseconds: where the wall clock starts.
const WALL: u64 = 1_767_225_600_000;

/// What a device wants of the network.
#[derive(Debug)]
pub(super) enum Wire {
    Connect,
    Frame(Vec<u8>),
    Disconnect,
}

/// What survives when the power goes.
pub type Disk = BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>;

/// A device and its app.
#[derive(Debug)]
pub struct Device {
    /// The engine under attack.
    pub engine: Engine,
    /// Its rows, written at once.
    pub disk: Disk,
    /// What it told its app and nobody has looked at.
    pub events: Vec<Event>,
    /// Everything that its app was ever given, in that order.
    pub read: Vec<Blob>,
    /// Whether the network lets it reach the relay.
    pub reachable: bool,
    /// Whether its disk is busy: what is to be written waits until [`World::write`](super::World::write).
    pub disk_is_busy: bool,
    writing: VecDeque<(BatchId, Vec<Change>)>,
    pub(super) wires: VecDeque<Wire>,
    replies: BTreeMap<CommandId, Result<Reply, EngineError>>,
    commands: u64,
    has: Option<PageEnd>,
    lives: u8,
    number: u8,
}

impl Device {
    pub(super) fn new(world: u8, number: usize, relay: RelayAddress) -> Self {
        let number = u8::try_from(number).expect("few devices");
        let device = NewDevice {
            secret: secret_of(usize::from(number)),
            name: DeviceName::shortened(&format!("device {number}"), "device"),
            platform: "test".to_owned(),
            relay: Some(relay),
            access_token: None,
        };
        let mut device = Self {
            engine: Engine::create([100 + number + 20 * world; 32], device),
            disk: Disk::new(),
            events: Vec::new(),
            read: Vec::new(),
            reachable: true,
            disk_is_busy: false,
            writing: VecDeque::new(),
            wires: VecDeque::new(),
            replies: BTreeMap::new(),
            commands: 0,
            has: None,
            lives: 0,
            number,
        };
        device.pump(Now::default());
        device
    }

    /// Who it is.
    pub fn id(&self) -> DeviceId {
        self.engine.status().device_id
    }

    /// The power goes and comes back; the app remembers what it has.
    pub fn restart(&mut self) {
        self.lives += 1;
        let mut seed = [self.number; 32];
        seed[0] = self.lives;
        self.wires.clear();
        self.wires.push_back(Wire::Disconnect);
        self.writing.clear();
        self.engine = Engine::open(seed, self.disk.clone()).expect("a disk that opens");
    }

    /// The same device after a power cut, as another one: the app remembers what it has.
    pub(super) fn restarted(&self) -> Self {
        let mut seed = [self.number; 32];
        seed[0] = self.lives + 1;
        Self {
            engine: Engine::open(seed, self.disk.clone()).expect("a disk that opens"),
            disk: self.disk.clone(),
            events: Vec::new(),
            read: self.read.clone(),
            reachable: true,
            disk_is_busy: false,
            writing: VecDeque::new(),
            wires: VecDeque::new(),
            replies: BTreeMap::new(),
            commands: self.commands,
            has: self.has,
            lives: self.lives + 1,
            number: self.number,
        }
    }

    /// Writes that wait for the disk.
    pub fn unwritten(&self) -> usize {
        self.writing.len()
    }

    /// What a busy disk is to write next.
    pub fn next_write(&self) -> Option<&[Change]> {
        self.writing.front().map(|(_, changes)| changes.as_slice())
    }

    /// The disk does the first thing that waits for it.
    pub(super) fn write_next(&mut self, now: Now) {
        if let Some((batch, changes)) = self.writing.pop_front() {
            changes.into_iter().for_each(|change| self.write(change));
            self.engine.handle(now, Input::Stored(batch));
            self.pump(now);
        }
    }

    /// The disk does what waits for it.
    pub(super) fn write_all(&mut self, now: Now) {
        while !self.writing.is_empty() {
            self.write_next(now);
        }
    }

    pub(super) fn input(&mut self, now: Now, input: Input) {
        self.engine.handle(now, input);
        self.pump(now);
    }

    fn pump(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Connect(_) => self.wires.push_back(Wire::Connect),
                Output::Send(frame) => self.wires.push_back(Wire::Frame(frame)),
                Output::Disconnect => self.wires.push_back(Wire::Disconnect),
                Output::Store(batch, changes) if self.disk_is_busy => {
                    self.writing.push_back((batch, changes));
                }
                Output::Store(batch, changes) => {
                    changes.into_iter().for_each(|change| self.write(change));
                    self.engine.handle(now, Input::Stored(batch));
                }
                Output::Event(event) => self.events.push(event),
                Output::Reply(id, result) => {
                    assert!(self.replies.insert(id, result).is_none(), "{id:?} was answered twice");
                }
            }
        }
    }

    fn write(&mut self, change: Change) {
        match change.value {
            Some(value) => drop(self.disk.insert(change.key, value)),
            None => drop(self.disk.remove(&change.key)),
        }
    }

    pub(super) fn command(&mut self, now: Now, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.input(now, Input::Command(id, command));
        id
    }

    /// The answer to a command, once.
    pub fn reply(&mut self, id: CommandId) -> Option<Result<Reply, EngineError>> {
        self.replies.remove(&id)
    }

    pub(super) fn read_command(&self) -> Command {
        Command::Read { limit: 0, has: self.has }
    }

    /// The app saves a page; whether there is more.
    pub(super) fn save(&mut self, page: sync_engine::Page) -> bool {
        self.has = Some(page.end());
        let more = page.has_more || !page.blobs.is_empty();
        self.read.extend(page.blobs);
        more
    }
}

/// The key pair of a device: its number, over and over.
pub(super) fn secret_of(number: usize) -> DeviceSecret {
    DeviceSecret::from_bytes([u8::try_from(number).expect("few devices") + 1; 32])
}

pub(super) fn now(ms: u64) -> Now {
    Now { mono: MonoMs(ms), unix: UnixMs(WALL + ms) }
}
