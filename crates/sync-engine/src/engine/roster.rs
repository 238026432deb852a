//! Who is in the group: the devices that members have announced, never those that a relay names.

use std::collections::VecDeque;
use std::time::Duration;

use litemap::LiteMap;
use sync_e2ee::{Control, RosterEntry, Tip};
use sync_types::limits::INVITE_LIFETIME;
use sync_types::{Cursor, DeviceId, Devices, DevicesResponse, Epoch, Message, MonoMs, UnixMs};

use super::Engine;
use super::request::Request;
use crate::api::{CommandId, DeviceInfo, Event, Reply};
use crate::rows::Standing;
use crate::timer::Timer;

/// How long a newcomer may take to announce itself.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to ask the relay who is there.
const ROLL: Duration = Duration::from_secs(600);
/// The same for the first time after connecting.
const FIRST_ROLL: Duration = Duration::from_secs(120);
/// Devices at the relay that nobody has announced, remembered at once.
const MAX_STRANGERS: usize = 1_000;

/// Devices and invites that somebody should own up to.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Devices at the relay that nobody has announced, and until when that is no reason to say so.
    devices: LiteMap<DeviceId, MonoMs>,
    /// Invites that were taken, and until when somebody should have announced himself.
    invites: Vec<MonoMs>,
    /// When devices announced themselves while no invite was known to be taken: it is heard of later.
    early: VecDeque<MonoMs>,
    /// Those of which the app was told.
    reported: LiteMap<DeviceId, ()>,
}

impl Strangers {
    /// A device has announced itself: it has used an invite that was taken, or will be heard of as taken.
    fn announced(&mut self, now: MonoMs) {
        if self.invites.pop().is_none() {
            self.early.push_back(now);
            if self.early.len() > MAX_STRANGERS {
                self.early.pop_front();
            }
        }
    }

    /// Whether the device that has taken an invite has announced itself before that was heard of.
    fn was_announced(&mut self, now: MonoMs) -> bool {
        self.early.retain(|at| now.since(*at) < INVITE_LIFETIME);
        self.early.pop_front().is_some()
    }
}

impl Engine {
    pub(super) fn standing(&self, device: &DeviceId) -> Standing {
        if *device == self.me() {
            return Standing::Member;
        }
        self.state.peers.get(device).map_or(Standing::Unknown, |peer| peer.standing)
    }

    /// Whether the group or the relay has ever named a device.
    pub(super) fn has_heard_of(&self, device: &DeviceId) -> bool {
        self.strangers.devices.contains_key(device)
            || self.strangers.reported.contains_key(device)
            || self.standing(device) != Standing::Unknown
    }

    /// A device says something about itself.
    pub(super) fn told(&mut self, sender: DeviceId, epoch: Epoch, control: Control) {
        let current = epoch == self.epoch();
        let closing = self.relay_epoch > epoch;
        let peer = self.state.peers.entry(sender).or_default();
        let event = match (control, peer.standing) {
            (Control::Announce { name, platform }, before) => {
                // In an epoch that is over, whoever was removed can speak for others.
                if current || before != Standing::Member || peer.name.is_none() {
                    (peer.name, peer.platform) = (Some(name.clone()), platform.clone());
                }
                if current {
                    peer.standing = Standing::Member;
                } else if before == Standing::Unknown {
                    peer.standing = Standing::Former;
                }
                let joined = current && before != Standing::Member;
                joined.then_some(Event::DeviceJoined { device_id: sender, name, platform })
            }
            // With a rotation ahead, whoever is removed by it could speak for others; it says who is left.
            (Control::Leave, Standing::Member) if current && !closing => {
                peer.standing = Standing::Left;
                Some(Event::DeviceRemoved { device_id: sender, by: None })
            }
            (Control::Leave, _) => None,
        };
        let change = peer.change(&sender);
        self.store([change]);
        if let Some(event) = event {
            if matches!(event, Event::DeviceJoined { .. }) {
                self.strangers.devices.remove(&sender);
                self.strangers.announced(self.now.mono);
            }
            self.event(event);
        }
    }

    /// This device and the other members that stay; ascending by id.
    pub(super) fn roster(&self, stays: impl Fn(&DeviceId) -> bool) -> Vec<RosterEntry> {
        let mut roster = self.entries(|id, standing| standing == Standing::Member && stays(id));
        let own = roster.partition_point(|entry| entry.device_id < self.me());
        roster.insert(own, self.own_entry());
        roster
    }

    /// This device, as others should know it.
    fn own_entry(&self) -> RosterEntry {
        RosterEntry {
            device_id: self.me(),
            name: Some(self.state.device.name.clone()),
            platform: self.state.device.platform.clone(),
            tips: self.state.chain.tips(),
        }
    }

    /// The other devices that stand like this, with what is known of their chains; ascending by id.
    pub(super) fn entries(&self, is: impl Fn(&DeviceId, Standing) -> bool) -> Vec<RosterEntry> {
        let peers = self.state.peers.iter().filter(|(id, peer)| is(id, peer.standing));
        peers
            .map(|(device_id, peer)| RosterEntry {
                device_id: *device_id,
                name: peer.name.clone(),
                platform: peer.platform.clone(),
                tips: peer.chains.iter().filter_map(|chain| chain.tip()).collect::<Vec<Tip>>(),
            })
            .collect()
    }

    /// The relay names a device.
    pub(super) fn met(&mut self, device: DeviceId) {
        let Strangers { devices, reported, .. } = &self.strangers;
        let known = self.standing(&device) == Standing::Member || reported.contains_key(&device);
        if !known && devices.len() + reported.len() < MAX_STRANGERS {
            let until = self.now.mono.plus(PATIENCE);
            self.strangers.devices.entry(device).or_insert(until);
            self.watch_strangers();
        }
    }

    /// With a new key the relay shuts out whoever has no lockbox: who is still named after it is met anew.
    pub(super) fn shut_out_strangers(&mut self) {
        self.strangers.devices = LiteMap::new();
        self.watch_strangers();
    }

    /// Somebody has an invite of this device's, and has perhaps announced himself by now.
    pub(super) fn invite_taken(&mut self, id: CommandId) {
        let now = self.now.mono;
        if !self.strangers.was_announced(now) {
            self.strangers.invites.insert(0, now.plus(PATIENCE));
            self.strangers.invites.truncate(MAX_STRANGERS);
            self.watch_strangers();
        }
        self.reply(id, Ok(Reply::Done));
    }

    fn watch_strangers(&mut self) {
        let Strangers { devices, invites, .. } = &self.strangers;
        match devices.values().chain(invites).min() {
            Some(at) => self.timers.set(Timer::Strangers, *at),
            None => self.timers.stop(Timer::Strangers),
        }
    }

    /// Some have had time enough.
    pub(super) fn name_strangers(&mut self) {
        let now = self.now.mono;
        let late: Vec<_> =
            self.strangers.devices.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for device_id in late {
            self.strangers.devices.remove(&device_id);
            if self.standing(&device_id) != Standing::Member {
                self.strangers.reported.insert(device_id, ());
                self.event(Event::UnknownDevice { device_id });
            }
        }
        let before = self.strangers.invites.len();
        self.strangers.invites.retain(|at| *at > now);
        for _ in self.strangers.invites.len()..before {
            self.event(Event::InviteMisused);
        }
        self.watch_strangers();
    }

    /// From now on the relay is asked who is there.
    pub(super) fn begin_roll(&mut self) {
        self.timers.set(Timer::Roll, self.now.mono.plus(FIRST_ROLL));
    }

    /// Asks the relay who is there, for this device's own use.
    pub(super) fn call_roll(&mut self) {
        if self.may_ask() {
            self.send_request(Message::Devices(Devices), Request::Roll);
            self.timers.set(Timer::Roll, self.now.mono.plus(ROLL));
        }
    }

    /// What the relay says of the devices: who is there, and up to where each has everything.
    pub(super) fn roll_called(&mut self, list: &DevicesResponse) {
        let me = self.me();
        for row in list.devices.iter().filter(|row| row.device_id != me) {
            self.met(row.device_id);
        }
        let members = self.state.peers.iter().filter(|(_, peer)| peer.standing == Standing::Member);
        let acked =
            |id: &DeviceId| list.devices.iter().find(|row| row.device_id == *id).map(|row| row.acked_cursor);
        // A member that the relay does not name has nothing.
        let by_all = members.map(|(id, _)| acked(id).unwrap_or(Cursor::ZERO)).min();
        if let Some(by_all) = by_all {
            self.forget_sent(by_all);
        }
    }

    /// DEVICES_RESPONSE, with the names that members can read.
    pub(super) fn devices_told(&mut self, id: CommandId, list: &DevicesResponse) {
        self.roll_called(list);
        let me = self.me();
        let mut devices: Vec<_> = list
            .devices
            .iter()
            .map(|row| {
                let peer = self.state.peers.get(&row.device_id);
                DeviceInfo {
                    device_id: row.device_id,
                    name: self.open_name(&row.device_id, &row.device_name),
                    platform: if row.device_id == me {
                        Some(self.state.device.platform.clone())
                    } else {
                        peer.filter(|p| !p.platform.is_empty()).map(|p| p.platform.clone())
                    },
                    acked_cursor: row.acked_cursor,
                    last_seen: row.last_seen,
                    online: row.online,
                    this_device: row.device_id == me,
                    member: self.standing(&row.device_id) == Standing::Member,
                }
            })
            .collect();
        let named = |device_id| list.devices.iter().any(|row| row.device_id == device_id);
        let members = self.state.peers.iter().filter(|(_, peer)| peer.standing == Standing::Member);
        let unnamed = members.filter(|(device_id, _)| !named(**device_id));
        devices.extend(unnamed.map(|(device_id, peer)| DeviceInfo {
            device_id: *device_id,
            name: peer.name.clone(),
            platform: Some(peer.platform.clone()).filter(|platform| !platform.is_empty()),
            acked_cursor: Cursor::ZERO,
            last_seen: UnixMs(0),
            online: false,
            this_device: false,
            member: true,
        }));
        devices.sort_unstable_by_key(|device| device.device_id);
        self.reply(id, Ok(Reply::Devices(devices)));
    }
}
