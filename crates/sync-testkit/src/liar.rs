//! A relay that lies, opposite real devices.
//!
//! [`World`] has a few devices of one group, each a real engine with a disk and an app, and one
//! [`Liar`]. Nothing happens by chance: frames arrive at once and in order, time passes only when a
//! test says so. A test lets everything be honest for a while, then lets the relay lie, and asks what
//! the devices noticed. [`World::verdict`] says whether what must hold whatever the relay does still holds. [`Forger`] is whoever has the keys that a device had at some time, without its scruples.

mod device;
mod forge;
mod log;
mod relay;

use std::collections::BTreeSet;

use sync_e2ee::Invite;
use sync_engine::{Command, CommandId, EngineError, Event, Input, Reply};
use sync_types::{DeviceId, Message, RelayAddress};
use zeroize::Zeroizing;

pub use device::{Device, Disk};
use device::{Wire, now, secret_of};
pub use forge::{Forger, Plan};
pub use log::{hash_of, into_stub, renumber};
use relay::Out;
pub use relay::{Envelopes, Liar, Refuse, Say, View, Words};

/// What every push of a test starts with: no relay may ever see it.
pub const PLAIN: &[u8] = b"plain text: ";

/// How often something may happen before a test is taken to go round in circles.
const MAX_STEPS: usize = 100_000;

/// Devices of one group and their relay.
#[derive(Debug)]
pub struct World {
    /// The devices, by number.
    pub devices: Vec<Device>,
    /// The relay.
    pub relay: Liar,
    number: u8,
    ms: u64,
    pushed: BTreeSet<(DeviceId, Vec<u8>)>,
    pushes: u64,
}

impl World {
    /// So many devices, all paired, on-line and quiet; nothing is in the log but their announcements,
    /// and one push of the first.
    pub fn new(devices: usize) -> Self {
        Self::other(0, devices)
    }

    /// As [`new`](Self::new), with other keys for every `number`.
    pub fn other(number: u8, devices: usize) -> Self {
        let mut world = Self {
            devices: Vec::new(),
            relay: Liar::new(),
            number,
            ms: 0,
            pushed: BTreeSet::new(),
            pushes: 0,
        };
        world.add_device();
        world.push(0);
        world.connect(0);
        while world.devices.len() < devices {
            world.join(0);
        }
        for n in 0..devices {
            world.read(n);
            world.devices[n].events.clear();
        }
        world
    }

    /// The same world after the power went everywhere: what was stored is there, nobody is on-line, and
    /// the relay is honest.
    pub fn after_power_cut(&self) -> Self {
        Self {
            devices: self.devices.iter().map(Device::restarted).collect(),
            relay: self.relay.restarted(),
            number: self.number,
            ms: self.ms,
            pushed: self.pushed.clone(),
            pushes: self.pushes,
        }
    }

    fn add_device(&mut self) -> usize {
        let number = self.devices.len();
        let url = "https://relay.example".parse().expect("an address");
        let relay = RelayAddress { url, key: Some(self.relay.key()) };
        self.devices.push(Device::new(self.number, number, relay));
        number
    }

    /// A new device with an invite of another one's, on-line; its number.
    pub fn join(&mut self, inviter: usize) -> usize {
        let invite = self.invite(inviter);
        self.join_with(invite)
    }

    /// A new device that has an invite, on-line; its number.
    pub fn join_with(&mut self, invite: Invite) -> usize {
        let number = self.add_device();
        self.ask(number, Command::Join(Box::new(invite))).expect("a device without a group");
        self.connect(number);
        number
    }

    /// What a device would put into an invite now.
    pub fn invite(&mut self, inviter: usize) -> Invite {
        match self.ask(inviter, Command::Membership) {
            Ok(Reply::Membership(invite)) => *invite,
            other => panic!("{other:?}"),
        }
    }

    /// A device connects, and stays connected if it can.
    pub fn connect(&mut self, n: usize) {
        self.command(n, Command::Connect);
    }

    /// A device goes off-line.
    pub fn disconnect(&mut self, n: usize) {
        self.command(n, Command::Disconnect);
    }

    /// The power of a device goes and comes back, and it connects again.
    pub fn restart(&mut self, n: usize) {
        self.devices[n].restart();
        self.run();
        self.connect(n);
    }

    /// Something new of the app's, pushed; what it was.
    pub fn push(&mut self, n: usize) -> Vec<u8> {
        self.push_for(n, None)
    }

    /// The same, for so many seconds.
    pub fn push_for(&mut self, n: usize, ttl: Option<u32>) -> Vec<u8> {
        let (id, data) = self.try_push(n, ttl);
        match self.devices[n].reply(id) {
            Some(Ok(Reply::Queued(_))) => data,
            other => panic!("{other:?}"),
        }
    }

    /// The same, whatever becomes of it.
    pub fn try_push(&mut self, n: usize, ttl: Option<u32>) -> (CommandId, Vec<u8>) {
        let data = self.new_data(self.id(n), n);
        let push = Command::Push { data: Zeroizing::new(data.clone()), ttl, token: None };
        (self.command(n, push), data)
    }

    /// Something new that may be read as a device's, for whoever pushes that himself.
    pub fn new_data(&mut self, sender: DeviceId, n: usize) -> Vec<u8> {
        self.pushes += 1;
        let data = [PLAIN, format!("{} of device {n}", self.pushes).as_bytes()].concat();
        self.pushed.insert((sender, data.clone()));
        data
    }

    /// An app reads whatever there is, and keeps it; what was new to it. Some, when the device would
    /// rather wait.
    pub fn read(&mut self, n: usize) -> Vec<Vec<u8>> {
        let before = self.devices[n].read.len();
        loop {
            let id = self.command(n, self.devices[n].read_command());
            match self.devices[n].reply(id) {
                Some(Ok(Reply::Page(page))) => {
                    if !self.devices[n].save(page) {
                        break;
                    }
                }
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => break,
            }
        }
        self.devices[n].read[before..].iter().map(|blob| blob.data.clone()).collect()
    }

    /// One device gives the group a new key, and leaves others without it.
    pub fn remove(&mut self, by: usize, whom: &[usize]) -> Result<Reply, EngineError> {
        let remove = whom.iter().map(|n| self.id(*n)).collect();
        self.ask(by, Command::Rotate { remove, keep_history: true })
    }

    /// Something comes in at a device.
    pub fn input(&mut self, n: usize, input: Input) {
        self.devices[n].input(now(self.ms), input);
        self.run();
    }

    /// A device's disk does what waits for it.
    pub fn write(&mut self, n: usize) {
        self.devices[n].write_all(now(self.ms));
        self.run();
    }

    /// A device's disk does the first thing that waits for it.
    pub fn write_next(&mut self, n: usize) {
        self.devices[n].write_next(now(self.ms));
        self.run();
    }

    /// A command that is answered at once.
    pub fn ask(&mut self, n: usize, command: Command) -> Result<Reply, EngineError> {
        let id = self.command(n, command);
        self.devices[n].reply(id).expect("an answer without delay")
    }

    /// A command whose answer may take its time.
    pub fn command(&mut self, n: usize, command: Command) -> CommandId {
        let id = self.devices[n].command(now(self.ms), command);
        self.run();
        id
    }

    /// The relay says something that nobody asked for.
    pub fn say(&mut self, to: usize, message: impl Into<Message>) {
        self.relay.say(to, message);
        self.run();
    }

    /// Everything that can happen without time passing.
    pub fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("this goes on for ever");
    }

    fn step(&mut self) -> bool {
        if let Some((to, out)) = self.relay.poll() {
            let input = match out {
                Out::Frame(frame) => Input::Frame(frame),
                Out::Close(code) => Input::Closed(code),
            };
            self.devices[to].input(now(self.ms), input);
            return true;
        }
        let Some(from) = self.devices.iter().position(|device| !device.wires.is_empty()) else {
            return false;
        };
        match self.devices[from].wires.pop_front() {
            Some(Wire::Connect) if self.devices[from].reachable => {
                self.relay.accept(from);
                self.devices[from].input(now(self.ms), Input::Connected);
            }
            Some(Wire::Connect) => self.devices[from].input(now(self.ms), Input::Closed(None)),
            Some(Wire::Frame(frame)) => self.relay.frame(from, &frame, now(self.ms).unix),
            Some(Wire::Disconnect) => self.relay.hang_up(from),
            None => {}
        }
        true
    }

    /// Time passes, with a tick at every deadline of every device.
    pub fn wait(&mut self, seconds: u64) {
        let until = self.ms + seconds * 1_000;
        loop {
            let next = self.devices.iter().filter_map(|device| device.engine.poll_timeout()).min();
            self.ms = next.map_or(until, |at| at.0.max(self.ms)).min(until);
            for n in 0..self.devices.len() {
                self.devices[n].input(now(self.ms), Input::Tick);
            }
            self.run();
            if self.ms >= until {
                return;
            }
        }
    }

    /// The relay shows what it has put into its log.
    pub fn show(&mut self) {
        for to in 0..self.devices.len() {
            self.relay.tell_newest(to);
        }
        self.run();
    }

    /// Who a device is.
    pub fn id(&self, n: usize) -> DeviceId {
        self.devices[n].id()
    }

    /// What a device told its app since somebody last looked.
    pub fn events(&mut self, n: usize) -> Vec<Event> {
        std::mem::take(&mut self.devices[n].events)
    }

    /// The same, without what is everyday business.
    pub fn alarms(&mut self, n: usize) -> Vec<Event> {
        let mut events = self.events(n);
        events.retain(|event| {
            !matches!(
                event,
                Event::Connected
                    | Event::Disconnected { stopped: None }
                    | Event::BlobAvailable { .. }
                    | Event::PushAcked { .. }
                    | Event::DeviceJoined { .. }
                    | Event::DeviceRemoved { .. }
                    | Event::KeyRotated { .. }
                    | Event::PresenceChanged { .. }
            )
        });
        events
    }

    /// Whoever has the keys that a device has now, and its own key pair.
    pub fn forger(&mut self, n: usize) -> Forger {
        let invite = self.invite(n);
        Forger::new(secret_of(n), invite)
    }

    /// What must hold whatever the relay does: no app was given what its sender did not push, or anything
    /// twice, and the relay was never sent a plain text.
    ///
    /// # Errors
    /// What does not, in words.
    pub fn verdict(&self) -> Result<(), String> {
        for (n, device) in self.devices.iter().enumerate() {
            let mut seen = BTreeSet::new();
            for blob in &device.read {
                let read = (blob.sender, blob.data.clone());
                let text = String::from_utf8_lossy(&blob.data).into_owned();
                if !self.pushed.contains(&read) {
                    return Err(format!("device {n} read {text:?} of {:?}", blob.sender));
                }
                if !seen.insert(read) {
                    return Err(format!("device {n} read {text:?} twice"));
                }
            }
        }
        let shows = |bytes: &[u8]| bytes.windows(PLAIN.len()).any(|window| window == PLAIN);
        if self.relay.heard.iter().any(|bytes| shows(bytes)) {
            return Err("the relay was sent a plain text".to_owned());
        }
        Ok(())
    }

    /// Whether an app was ever given something.
    pub fn has_read(&self, n: usize, data: &[u8]) -> bool {
        self.devices[n].read.iter().any(|blob| blob.data == data)
    }

    /// The relay stops lying, all agree to restore what it has lost, and everybody who is not in `but`
    /// pushes something that all of them get.
    ///
    /// # Panics
    /// When that does not work, or the [`verdict`](Self::verdict) is bad.
    pub fn goes_on(&mut self, but: &[usize]) {
        self.relay.be_honest();
        for n in 0..self.devices.len() {
            self.command(n, Command::Restore);
        }
        self.wait(600);
        let members: Vec<_> = (0..self.devices.len()).filter(|n| !but.contains(n)).collect();
        for from in &members {
            let data = self.push(*from);
            self.wait(1);
            for to in members.iter().filter(|to| *to != from) {
                self.read(*to);
                assert!(self.has_read(*to, &data), "device {to} did not get what device {from} pushed");
            }
        }
        self.verdict().expect("nothing wrong reached an app");
    }
}
