//! A world in a box: engines, a relay and the network between them, on a virtual clock.
//!
//! Everything random comes from one seed, so a run can be repeated exactly. The engines and the
//! relay core are the real ones; the network delays, loses, doubles and garbles frames and cuts
//! connections, clients and relay lose power at any moment and start again from what they had stored.
//! When the faults stop, [`World::settle`] runs on until everybody is quiet, and [`check`] compares
//! what the apps were promised with what they got.

pub mod check;
mod client;
mod relay;

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sync_types::{MonoMs, Now, UnixMs};

use crate::Faults;
use client::Client;
use relay::Relay;

/// 2026-01-01, in milliseconds: where the virtual wall clock starts.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// Virtual time in which everything must have become quiet after the faults, in milliseconds.
const SETTLE_MS: u64 = 30 * 60 * 1000;

/// Names one connection, over all clients.
type ConnId = u64;

/// How rough the world is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many devices, at least two.
    pub devices: usize,
    /// Random steps before the faults stop.
    pub steps: usize,
    /// How many more may join later.
    pub guests: usize,
    /// Whether members come and go, and keys change.
    pub rotations: bool,
    /// Whether the relay's database gets deleted now and then.
    pub wipes: bool,
    /// Bugs in the relay's store.
    pub faults: Faults,
    /// A bug in the client: it forgets a push when it has sent it, not when that is acknowledged.
    pub drop_outbox_early: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            devices: 2,
            guests: 0,
            rotations: false,
            steps: 100,
            wipes: false,
            faults: Faults::default(),
            drop_outbox_early: false,
        }
    }
}

/// Something that is going to happen.
#[derive(Debug)]
enum Happening {
    /// The socket that a client asked for opens, or does not.
    Opens(ConnId),
    /// A frame arrives at the relay.
    ToRelay(ConnId, Vec<u8>),
    /// A frame arrives at a client.
    ToClient(ConnId, Vec<u8>),
    /// The relay notices that a connection is closed.
    ClosedAtRelay(ConnId),
    /// A client notices that its connection is closed.
    ClosedAtClient(ConnId, Option<u16>),
    /// A client's disk has finished a write; not after a crash meanwhile.
    Stored { client: usize, life: u64 },
    /// The relay commits what is queued.
    Commit { life: u64 },
    /// The relay starts again.
    RelayUp,
}

/// One direction of a connection: what is sent later arrives later.
#[derive(Debug, Default)]
struct Pipe {
    last_arrival: u64,
}

#[derive(Debug)]
struct Conn {
    client: usize,
    up: Pipe,
    down: Pipe,
}

/// The whole world.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    rng: ChaCha20Rng,
    ms: u64,
    /// How far the wall clock has run ahead of the steady one.
    slept: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    happened: u64,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: ConnId,
    relay: Relay,
    clients: Vec<Client>,
    /// Rotations that their makers heard to be done.
    rotations: usize,
    /// Whether the relay has lost its store since the first rotation.
    rotation_lost: bool,
    /// What had to be pushed anew under another id: who had read it may read it again.
    renamed: BTreeSet<Vec<u8>>,
    /// Whether the network still misbehaves.
    rough: bool,
}

impl World {
    /// A world with its devices paired.
    ///
    /// # Errors
    /// When even that goes wrong.
    pub fn new(seed: u64, plan: Plan) -> Result<Self, String> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha20Rng::from_seed(key);
        let relay = Relay::new(&mut rng, plan.faults);
        let clients = (0..plan.devices + plan.guests).map(|_| Client::new(&mut rng)).collect();
        let mut world = Self {
            plan,
            rng,
            ms: 0,
            slept: 0,
            agenda: BTreeMap::new(),
            happened: 0,
            conns: BTreeMap::new(),
            next_conn: 0,
            relay,
            clients,
            rotations: 0,
            rotation_lost: false,
            renamed: BTreeSet::new(),
            rough: false,
        };
        world.pair()?;
        Ok(world)
    }

    /// Random steps, with everything that may go wrong.
    pub fn rampage(&mut self) -> Result<(), String> {
        self.rough = true;
        for _ in 0..self.plan.steps {
            let longest = if self.chance(10) { 20_000 } else { 400 };
            let pause = self.below(longest);
            self.run_until(self.ms + pause)?;
            self.random_step()?;
        }
        self.rough = false;
        Ok(())
    }

    /// Without further faults: runs until everybody is quiet.
    pub fn settle(&mut self) -> Result<(), String> {
        if !self.relay.up {
            self.relay_up();
        }
        let end = self.ms + SETTLE_MS;
        while !self.quiet() {
            if self.ms >= end {
                return Err(format!("not quiet after {} virtual minutes", SETTLE_MS / 60_000));
            }
            for client in 0..self.clients.len() {
                if !self.clients[client].is_member() {
                    continue;
                }
                if !self.clients[client].is_up() {
                    self.boot(client)?;
                }
                self.app_reads(client)?;
            }
            self.run_until(self.ms + 500)?;
        }
        Ok(())
    }

    fn random_step(&mut self) -> Result<(), String> {
        let client = self.below(self.clients.len() as u64) as usize;
        if !self.clients[client].is_up() {
            return self.boot(client);
        }
        if !self.clients[client].is_member() {
            return Ok(());
        }
        if self.plan.rotations && self.chance(15) {
            return self.membership_step(client);
        }
        match self.below(100) {
            0..45 => self.app_pushes(client),
            45..70 => self.app_reads(client),
            70..75 => self.app_pages(client),
            75..80 => self.app_acks(client),
            80..86 => self.cut(client),
            86..91 => {
                self.crash(client);
                Ok(())
            }
            91..94 => {
                self.relay_down();
                Ok(())
            }
            94..96 => self.machine_sleeps(),
            96..98 => self.input(client, sync_engine::Input::Woke),
            _ => {
                if self.plan.wipes {
                    self.wipe();
                }
                Ok(())
            }
        }
    }

    /// The wall clock jumps and the steady one does not, as after a night with the lid closed.
    fn machine_sleeps(&mut self) -> Result<(), String> {
        self.slept += 60_000 + self.below(600_000);
        self.tick_all()
    }

    /// Lets time pass, and happen what is due.
    fn run_until(&mut self, until: u64) -> Result<(), String> {
        loop {
            let agenda = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let timers = self.clients.iter().filter_map(Client::timeout).min();
            let relay = self.relay.timeout();
            let next = [agenda, timers, relay].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else {
                self.ms = self.ms.max(until);
                return Ok(());
            };
            self.ms = self.ms.max(next);
            if agenda == Some(next) {
                if let Some((_, happening)) = self.agenda.pop_first() {
                    self.happen(happening)?;
                }
            } else if timers == Some(next) {
                self.tick_clients()?;
            } else {
                self.relay_timeouts();
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Opens(conn) => self.opens(conn),
            Happening::ToRelay(conn, frame) => {
                self.relay_frame(conn, &frame);
                Ok(())
            }
            Happening::ToClient(conn, frame) => self.at_client(conn, sync_engine::Input::Frame(frame)),
            Happening::ClosedAtRelay(conn) => {
                self.relay_closed(conn);
                Ok(())
            }
            Happening::ClosedAtClient(conn, code) => {
                let result = self.at_client(conn, sync_engine::Input::Closed(code));
                self.conns.remove(&conn);
                result
            }
            Happening::Stored { client, life } => self.disk_done(client, life),
            Happening::Commit { life } => {
                self.commit(life);
                Ok(())
            }
            Happening::RelayUp => {
                self.relay_up();
                Ok(())
            }
        }
    }

    fn later(&mut self, delay: u64, happening: Happening) {
        self.happened += 1;
        self.agenda.insert((self.ms + delay, self.happened), happening);
    }

    /// Sends a frame on its way; the network may do to it what networks do, and some more.
    fn transmit(&mut self, conn: ConnId, up: bool, mut frame: Vec<u8>) {
        let mut copies = 1;
        if self.rough && self.chance(400) {
            match self.below(3) {
                0 => copies = 0,
                1 => copies = 2,
                _ => {
                    let at = self.below(frame.len().max(1) as u64) as usize;
                    if let Some(byte) = frame.get_mut(at) {
                        *byte ^= 0x40;
                    }
                }
            }
        }
        let delay = if self.rough { 1 + self.below(80) } else { 1 };
        let now = self.ms;
        let Some(pipe) = self.conns.get_mut(&conn).map(|c| if up { &mut c.up } else { &mut c.down }) else {
            return;
        };
        pipe.last_arrival = pipe.last_arrival.max(now + delay);
        let wait = pipe.last_arrival - now;
        for _ in 0..copies {
            let frame = frame.clone();
            let happening =
                if up { Happening::ToRelay(conn, frame) } else { Happening::ToClient(conn, frame) };
            self.later(wait, happening);
        }
    }

    /// Cuts a client's connection: either end notices on its own, what is on the way may still arrive.
    fn cut(&mut self, client: usize) -> Result<(), String> {
        if let Some(conn) = self.clients[client].conn {
            let (a, b) = (self.below(200), self.below(200));
            self.later(a, Happening::ClosedAtRelay(conn));
            self.later(b, Happening::ClosedAtClient(conn, None));
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now { mono: MonoMs(self.ms), unix: UnixMs(EPOCH_MS + self.ms + self.slept) }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    /// True once in `n` times.
    fn chance(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }
}

/// One run, from pairing to the final comparison.
///
/// # Errors
/// What went wrong, in words.
pub fn run(seed: u64, plan: Plan) -> Result<check::Summary, String> {
    let mut world = World::new(seed, plan)?;
    world.rampage()?;
    world.settle()?;
    check::check(&world)
}
