//! Devices with real engines opposite a relay that has the keys of the channel, and a member with the
//! group's keys and no scruples.
//!
//! The input says what the apps want, what the relay says and which of its answers are lies, what becomes
//! of connections, disks and power, and how much time passes. Whatever that is: no app is given what its
//! sender did not push, or the same twice; no plain text reaches the relay; cursors and epochs go one way;
//! every command is answered, once; what is stored can be opened, and does not grow by what a relay merely
//! claims.

mod lies;
mod watch;

use std::cell::RefCell;
use std::rc::Rc;

use sync_e2ee::{Kind, Place};
use sync_engine::{Command, CommandId, Input};
use sync_types::{
    BlobHash, BlobId, ChainId, Cursor, ErrorCode, InviteKey, LookupKey, Message, RelaySecret, UnixMs,
};

use super::script::Script;
use crate::liar::{Forger, Plan, World, into_stub};
use lies::Lies;
use watch::Watch;

/// Two devices; the third's keys are in the wrong hands.
const DEVICES: usize = 2;
const THIEF: usize = 2;
/// Most things that one input does.
const MAX_STEPS: usize = 60;
/// Longest time that passes in one step, in seconds.
const MAX_WAIT: u64 = 240;

struct Play {
    world: World,
    lies: Rc<RefCell<Lies>>,
    thief: Forger,
    watch: [Watch; DEVICES],
    /// What was asked of each device since its power went.
    asked: [Vec<CommandId>; DEVICES],
}

thread_local! {
    /// Where every input starts: pairing is the same each time, and takes its time.
    static PAIRED: World = paired();
}

fn paired() -> World {
    let mut world = World::new(3);
    for n in 0..3 {
        world.push(n);
    }
    for n in 0..3 {
        world.read(n);
        world.disconnect(n);
    }
    world
}

/// A sequence of what apps want, relays say and networks, disks and clocks do.
pub fn client_engine(input: &[u8]) {
    let mut script = Script::new(input);
    let mut world = PAIRED.with(World::after_power_cut);
    let thief = world.forger(THIEF);
    let lies = Rc::new(RefCell::new(Lies::default()));
    let (words, envelopes) = (Rc::clone(&lies), Rc::clone(&lies));
    world.relay.lie(move |say| words.borrow_mut().instead_of(say));
    world.relay.forge_envelopes(move |envelope| envelopes.borrow_mut().forge(envelope));
    // Whoever is removed is helped: the worst that a relay can do.
    world.relay.helps_removed = true;
    world.relay.any_after = true;
    let watch = [0, 1].map(|n| Watch::new(&world.devices[n]));
    let mut play = Play { world, lies, thief, watch, asked: [const { Vec::new() }; DEVICES] };
    for n in 0..DEVICES {
        play.world.connect(n);
    }
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        play.step(&mut script);
        play.check(input.len());
    }
    play.end();
}

impl Play {
    fn step(&mut self, script: &mut Script<'_>) {
        let n = script.below(DEVICES);
        match script.below(16) {
            0 => drop(self.world.try_push(n, [None, Some(0), Some(1), Some(3600)][script.below(4)])),
            1 | 2 => drop(self.world.read(n)),
            3 => self.command(n, script),
            4 => {
                let (code, body) = (script.byte(), script.chunk());
                if let Ok(message) = Message::decode_body(code, body) {
                    self.world.say(n, message);
                }
            }
            5..=7 => self.lies.borrow_mut().add(script),
            8 => self.log(script),
            9 => self.forge(script),
            10 => self.world.wait(u64::from(script.byte()).min(MAX_WAIT)),
            11 => {
                let code = ErrorCode::from_u16(script.byte().into());
                self.world.relay.close(n, code);
                self.world.run();
            }
            12 => {
                self.watch[n].loses_power(&self.world.devices[n]);
                self.asked[n].clear();
                self.world.restart(n);
            }
            13 => {
                let device = &mut self.world.devices[n];
                device.disk_is_busy = script.flag();
                if !device.disk_is_busy {
                    self.world.write(n);
                }
            }
            14 => match script.below(6) {
                0 => self.world.input(n, Input::Frame(script.chunk().to_vec())),
                1 => self.world.input(n, Input::Closed(Some(script.u16()))),
                2 => self.world.input(n, Input::Woke),
                3 => self.world.devices[n].reachable ^= true,
                4 => self.world.show(),
                _ => self.world.input(n, Input::Closed(None)),
            },
            _ => self.world.connect(n),
        }
    }

    fn command(&mut self, n: usize, script: &mut Script<'_>) {
        let command = match script.below(16) {
            0 | 1 => Command::Pull { after: cursor(script), limit: script.number() as u32 },
            2 | 3 => {
                let generation = script.flag().then(|| script.number() as u32);
                Command::Ack { cursor: cursor(script), generation }
            }
            4 => Command::Flush,
            5 => Command::Devices,
            6 => Command::Membership,
            7 => Command::InviteTaken,
            8 => Command::Restore,
            9 => Command::SealInvite { lookup: LookupKey([1; 16]), key: InviteKey::from_bytes([2; 32]) },
            10 => Command::Disconnect,
            11 => Command::Read { limit: script.number() as u32, has: None },
            12 => {
                let which = if script.flag() { 200 } else { 201 };
                Command::TrustRelay(RelaySecret::from_bytes([which; 32]).key())
            }
            13 | 14 => {
                let choice = script.byte();
                let remove = (0..3).filter(|m| *m != n && choice >> m & 1 == 1);
                Command::Rotate {
                    remove: remove.map(|m| self.world.id(m)).collect(),
                    keep_history: choice & 8 == 0,
                }
            }
            _ => match script.byte() {
                0 => Command::Leave,
                1 => Command::DeleteGroup,
                _ => Command::Flush,
            },
        };
        self.watch[n].asked(&command);
        // Whoever waits for an empty outbox may wait for ever.
        let may_wait = matches!(command, Command::Flush);
        let id = self.world.command(n, command);
        self.asked[n].extend((!may_wait).then_some(id));
    }

    /// The relay does something to its log, or to itself.
    fn log(&mut self, script: &mut Script<'_>) {
        let relay = &mut self.world.relay;
        let len = relay.log.len();
        let (what, at) = (script.below(12), script.below(256) % len.max(1));
        match what {
            8 => relay.wipe(script.byte()),
            9 => relay.store_id.0[0] ^= script.byte(),
            10 => relay.oldest = cursor(script),
            11 => relay.change_key(),
            _ if len == 0 => {}
            0 => drop(relay.log.remove(at)),
            1 => relay.log.swap(at, (at + 1) % len),
            2 => into_stub_once(&mut relay.log[at]),
            3 => relay.log.truncate(at),
            4 => {
                let again = relay.log[at].clone();
                relay.append(again.sender_id, again.blob_id, again.payload.unwrap_or_default());
            }
            5 => {
                if let Some(payload) = relay.log[at].payload.as_mut().filter(|payload| !payload.is_empty()) {
                    let byte = usize::from(script.u16()) % payload.len();
                    payload[byte] ^= script.byte();
                }
            }
            6 => relay.log[at].sender_id = self.thief.id(),
            _ => relay.log[at].cursor = cursor(script),
        }
        if script.flag() {
            self.world.show();
        }
    }

    /// The thief pushes something: in his own name, which may be read, or in another's, which may not.
    fn forge(&mut self, script: &mut Script<'_>) {
        let own = script.flag();
        let sender = if own { self.thief.id() } else { self.world.id(script.below(DEVICES)) };
        let of_sender = |blob: &&sync_types::StoredBlob| blob.sender_id == sender;
        let newest =
            self.world.relay.log.iter().rev().filter(of_sender).find(|b| self.thief.open(b).is_some());
        let mut place = match newest.filter(|_| script.flag()) {
            Some(newest) => self.thief.after(newest),
            None => self.thief.new_chain(),
        };
        let changes = script.byte();
        if changes & 1 != 0 {
            place.seq = script.number();
        }
        if changes & 2 != 0 {
            place = Place { chain_id: ChainId([script.byte(); 16]), prev: BlobHash(script.array()), ..place };
        }
        if changes & 4 != 0 {
            place.prev_expires = UnixMs(script.number());
        }
        let kind = [Kind::Data, Kind::Control, Kind::Void][script.below(3)];
        let body = match kind {
            Kind::Data if own => self.world.new_data(sender, THIEF),
            Kind::Data => b"nobody has pushed this".to_vec(),
            Kind::Control if script.flag() => Forger::announcement("nobody"),
            Kind::Control | Kind::Void => script.chunk().to_vec(),
        };
        // In another's name it is a blob of a member that nobody can tell from a real one: members trust
        // each other so far. Only its chain gives it away, so it must not be the app's.
        let kind = if own || kind != Kind::Data { kind } else { Kind::Void };
        let plan = Plan { epoch: self.thief.invite.epoch, sender, place, kind, body };
        let (blob_id, payload) = self.thief.seal(&plan);
        let blob_id = if changes & 8 != 0 { BlobId([script.byte(); 16]) } else { blob_id };
        self.world.relay.append(sender, blob_id, payload);
        self.world.show();
    }

    fn check(&mut self, input: usize) {
        for (n, watch) in self.watch.iter_mut().enumerate() {
            let events = self.world.events(n);
            watch.look(&self.world.devices[n], &events);
        }
        watch::bounded(&self.world, input);
    }

    /// Nothing wrong has reached an app, nobody waits for an answer, and what is stored can be opened.
    fn end(mut self) {
        self.world.relay.be_honest();
        let lost = [0, 1].map(|n| self.world.devices[n].unwritten());
        for (n, asked) in self.asked.iter().enumerate() {
            if lost[n] == 0 {
                self.world.disconnect(n);
                for id in asked {
                    assert!(self.world.devices[n].reply(*id).is_some(), "{id:?} was never answered");
                }
            }
        }
        if let Err(why) = self.world.verdict() {
            let forgave = why.ends_with("twice") && self.watch.iter().any(Watch::explains_twice);
            assert!(forgave, "{why}");
        }
        for (n, lost) in lost.into_iter().enumerate() {
            // A disk that is still busy has not written what came of the verdict.
            let lost = lost + self.world.devices[n].unwritten();
            let before = self.world.devices[n].engine.status();
            self.world.devices[n].restart();
            let after = self.world.devices[n].engine.status();
            assert_eq!(
                (before.device_id, before.group_id.is_some()),
                (after.device_id, after.group_id.is_some())
            );
            if lost == 0 {
                assert_eq!(before.epoch, after.epoch);
                // A reset that was not followed to its end is found out anew when the relay is met.
                assert!(before.last_cursor <= after.last_cursor);
                assert!(before.pending_push >= after.pending_push);
            }
        }
    }
}

fn into_stub_once(blob: &mut sync_types::StoredBlob) {
    if blob.payload.is_some() {
        into_stub(blob);
    }
}

fn cursor(script: &mut Script<'_>) -> Cursor {
    Cursor::new(script.number()).unwrap_or_default()
}
