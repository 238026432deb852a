//! An engine with a disk, opposite a relay that says whatever a test wants.

use std::collections::BTreeMap;

use sync_e2ee::DeviceName;
use sync_engine::{
    BatchId, Change, Command, CommandId, Engine, EngineError, Event, Input, NewDevice, Output, Reply,
};
use sync_types::channel::{Channel, Responder};
use sync_types::{
    Cursor, DeviceId, DeviceSecret, Envelope, Message, MonoMs, Nonce, Now, RelayAddress, RelaySecret,
    StoreId, UnixMs, Welcome,
};
use zeroize::Zeroizing;

pub const WALL: u64 = 1_767_225_600_000;

/// A device under test; what it puts out is sorted by kind.
pub struct Device {
    pub engine: Engine,
    pub ms: u64,
    pub disk: BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>,
    pub storing: Vec<(BatchId, Vec<Change>)>,
    /// Whether writes to the disk finish by themselves.
    pub disk_works: bool,
    pub sent: Vec<Vec<u8>>,
    pub connects: usize,
    pub disconnects: usize,
    pub events: Vec<Event>,
    pub replies: BTreeMap<CommandId, Result<Reply, EngineError>>,
    commands: u64,
}

impl Device {
    pub fn new() -> Self {
        Self::at("https://relay.example".parse().unwrap())
    }

    pub fn at(relay: RelayAddress) -> Self {
        let device = NewDevice {
            secret: DeviceSecret::from_bytes([1; 32]),
            name: DeviceName::new("ada").unwrap(),
            platform: "test".to_owned(),
            relay: Some(relay),
            access_token: None,
        };
        let mut device = Self {
            engine: Engine::create([9; 32], device),
            ms: 0,
            disk: BTreeMap::new(),
            storing: Vec::new(),
            disk_works: true,
            sent: Vec::new(),
            connects: 0,
            disconnects: 0,
            events: Vec::new(),
            replies: BTreeMap::new(),
            commands: 0,
        };
        device.input(Input::Tick);
        device
    }

    /// The power goes and comes back.
    pub fn restart(&mut self) {
        self.storing.clear();
        self.engine = Engine::open([8; 32], self.disk.clone()).unwrap();
    }

    pub fn now(&self) -> Now {
        Now { mono: MonoMs(self.ms), unix: UnixMs(WALL + self.ms) }
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now(), input);
        self.pump();
        while self.disk_works && !self.storing.is_empty() {
            let (batch, changes) = self.storing.remove(0);
            for change in changes {
                match change.value {
                    Some(value) => self.disk.insert(change.key, value),
                    None => self.disk.remove(&change.key),
                };
            }
            self.engine.handle(self.now(), Input::Stored(batch));
            self.pump();
        }
    }

    fn pump(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Connect(_) => self.connects += 1,
                Output::Disconnect => self.disconnects += 1,
                Output::Send(frame) => self.sent.push(frame),
                Output::Store(batch, changes) => self.storing.push((batch, changes)),
                Output::Event(event) => self.events.push(event),
                Output::Reply(id, result) => assert!(self.replies.insert(id, result).is_none()),
            }
        }
    }

    pub fn command(&mut self, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.input(Input::Command(id, command));
        id
    }

    pub fn push(&mut self, data: &[u8]) -> CommandId {
        self.command(Command::Push { data: Zeroizing::new(data.to_vec()), ttl: None, token: None })
    }

    /// The answer to a command, which must be there.
    pub fn reply(&mut self, id: CommandId) -> Result<Reply, EngineError> {
        self.replies.remove(&id).expect("no reply yet")
    }

    /// Lets time pass, on both clocks, with a tick at every deadline.
    pub fn wait(&mut self, ms: u64) {
        let until = self.ms + ms;
        while let Some(at) = self.engine.poll_timeout().filter(|at| at.0 <= until) {
            self.ms = self.ms.max(at.0);
            self.input(Input::Tick);
        }
        self.ms = until;
        self.input(Input::Tick);
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// The relay's end of a connection.
pub struct Peer {
    pub secret: RelaySecret,
    channel: Channel,
    pub group: sync_types::GroupId,
    nonces: u8,
}

impl Peer {
    /// Lets a device connect, up to its HELLO, which is given back.
    pub fn meet(device: &mut Device, secret: RelaySecret) -> (Self, Nonce, sync_types::Hello) {
        device.sent.clear();
        device.input(Input::Connected);
        let first = device.sent.remove(0);
        let (responder, second) = Responder::answer(&secret, [7; 32], &first).unwrap();
        device.input(Input::Frame(second));
        let third = device.sent.remove(0);
        let channel = responder.finish(&third).unwrap();
        let mut peer = Self { secret, channel, group: sync_types::GroupId::NONE, nonces: 0 };
        let (envelope, message) = peer.receive(device).remove(0);
        peer.group = envelope.group_id;
        let Message::Hello(hello) = message else { panic!("{message:?}") };
        (peer, envelope.nonce, hello)
    }

    /// As `meet`, and lets the device in.
    pub fn welcome(device: &mut Device, welcome: Welcome) -> Self {
        let (mut peer, nonce, _) = Self::meet(device, relay_secret());
        peer.channel.set_max_envelope(4 << 20);
        peer.answer(device, nonce, welcome);
        peer
    }

    /// What the device has sent since the last look.
    pub fn receive(&mut self, device: &mut Device) -> Vec<(Envelope, Message)> {
        let mut got = Vec::new();
        for frame in std::mem::take(&mut device.sent) {
            if let Some(bytes) = self.channel.open(&frame).unwrap() {
                let (envelope, message) = Envelope::open(&bytes).unwrap();
                got.push((envelope, message.unwrap()));
            }
        }
        got
    }

    /// The one message that the device has sent.
    pub fn receive_one(&mut self, device: &mut Device) -> (Nonce, Message) {
        let mut got = self.receive(device);
        assert_eq!(got.len(), 1, "{got:?}");
        let (envelope, message) = got.remove(0);
        (envelope.nonce, message)
    }

    pub fn answer(&mut self, device: &mut Device, nonce: Nonce, message: impl Into<Message>) {
        let sender = DeviceId::from(self.secret.key());
        let bytes = Envelope::seal(&message.into(), sender, self.group, UnixMs(WALL + device.ms), nonce);
        for frame in self.channel.seal(&bytes).unwrap() {
            device.input(Input::Frame(frame));
        }
    }

    /// Says something that was not asked for.
    pub fn say(&mut self, device: &mut Device, message: impl Into<Message>) {
        self.nonces += 1;
        self.answer(device, Nonce([self.nonces; 24]), message);
    }
}

pub fn relay_secret() -> RelaySecret {
    RelaySecret::from_bytes([5; 32])
}

pub fn cursor(n: u64) -> Cursor {
    Cursor::new(n).unwrap()
}

/// A WELCOME to an empty log.
pub fn welcome() -> Welcome {
    Welcome {
        version: 1,
        relay_id: "test".to_owned(),
        max_cursor: Cursor::ZERO,
        pending_count: 0,
        store_id: StoreId([3; 16]),
        oldest_cursor: cursor(1),
        at_cursor: None,
        epoch: 0,
        max_blob_size: sync_types::limits::DEFAULT_MAX_BLOB,
        default_ttl: 604_800,
        features: 0,
    }
}
