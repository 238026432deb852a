//! Who is online, and what each of them has yet to hear. No cryptography, no waiting.

mod mailbox;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sync_types::{DeviceId, ErrorCode, GroupId, MonoMs, Now, PeerPresence, UnixMs};

use crate::bucket::Bucket;
use crate::store::{Committed, Ended, News, ReadOp, ReadResult};
use mailbox::Mailbox;

/// Status of a device whose connection closed.
const AWAY: u8 = 0;
/// Status of a device that has just come in.
pub(crate) const HERE: u8 = 1;
/// Buckets remembered before the first look at which of them can be forgotten.
const FIRST_PRUNE: usize = 256;

/// Names one connection, admitted or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNo(u64);

/// A device that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// Its group.
    pub group: GroupId,
    /// The device.
    pub device: DeviceId,
}

/// What a session has to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A blob of another session.
    News(News),
    /// Another device came, went or said something of itself.
    Presence(PeerPresence),
    /// This session is over.
    Ended(Ending),
}

/// Why a session is over before its connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The same device has connected again.
    Replaced,
    /// The device was removed.
    Removed,
    /// The group was deleted.
    GroupDeleted,
}

impl Ending {
    /// The code on the wire.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Replaced => ErrorCode::Replaced,
            Self::Removed => ErrorCode::DeviceRevoked,
            Self::GroupDeleted => ErrorCode::GroupDeleted,
        }
    }
}

#[derive(Debug)]
struct Member {
    registration: Registration,
    status: u8,
    mailbox: Mailbox,
}

/// All admitted sessions of a relay, by group.
///
/// Only those are woken that have something to hear: [`poll_woken`](Self::poll_woken) says who.
#[derive(Debug)]
pub struct Hub {
    per_minute: u32,
    groups: HashMap<GroupId, BTreeMap<DeviceId, SessionNo>>,
    members: HashMap<SessionNo, Member>,
    buckets: HashMap<(GroupId, DeviceId), Arc<Bucket>>,
    prune_at: usize,
    next: u64,
    woken: BTreeSet<SessionNo>,
}

impl Hub {
    /// Nobody is there; each device may send `messages_per_minute`.
    pub fn new(messages_per_minute: u32) -> Self {
        Self {
            per_minute: messages_per_minute,
            groups: HashMap::new(),
            members: HashMap::new(),
            buckets: HashMap::new(),
            prune_at: FIRST_PRUNE,
            next: 0,
            woken: BTreeSet::new(),
        }
    }

    /// A number for a new connection.
    pub fn open(&mut self) -> SessionNo {
        self.next += 1;
        SessionNo(self.next)
    }

    /// Admitted sessions.
    pub fn online(&self) -> usize {
        self.members.len()
    }

    /// Every device that is online.
    pub fn registrations(&self) -> impl Iterator<Item = Registration> {
        self.members.values().map(|member| member.registration)
    }

    /// Lets the others hear of a device that came in, ends its older session if it has one, and gives
    /// the device's message allowance.
    pub fn register(&mut self, no: SessionNo, registration: Registration, now: Now) -> Arc<Bucket> {
        let Registration { group, device } = registration;
        let member = Member { registration, status: HERE, mailbox: Mailbox::default() };
        self.members.insert(no, member);
        let older = self.groups.entry(group).or_default().insert(device, no);
        match older.and_then(|older| Some((older, self.members.get_mut(&older)?))) {
            Some((older, member)) => {
                member.mailbox.end(Ending::Replaced);
                self.woken.insert(older);
            }
            None => self.announce(group, device, HERE, now.unix),
        }
        self.bucket(group, device, now.mono)
    }

    /// Forgets a connection, admitted or not.
    pub fn unregister(&mut self, no: SessionNo, now: Now) {
        self.woken.remove(&no);
        let Some(member) = self.members.remove(&no) else {
            return;
        };
        let Registration { group, device } = member.registration;
        let Some(devices) = self.groups.get_mut(&group) else {
            return;
        };
        if devices.get(&device) != Some(&no) {
            return; // A newer session of the same device is there.
        }
        devices.remove(&device);
        if devices.is_empty() {
            self.groups.remove(&group);
        }
        self.announce(group, device, AWAY, now.unix);
    }

    /// Ends the sessions that a commit ends, and tells the group's others of its blobs. To be called in
    /// the order of commits: it is the order in which they hear.
    pub fn committed(&mut self, committed: &Committed) {
        let Committed { group, sender, blobs, ended } = committed;
        match ended {
            Ended::Devices(devices) => devices.iter().for_each(|id| self.end(*group, *id, Ending::Removed)),
            Ended::Group => {
                let devices: Vec<_> =
                    self.groups.get(group).into_iter().flatten().map(|(id, _)| *id).collect();
                devices.into_iter().for_each(|id| self.end(*group, id, Ending::GroupDeleted));
            }
        }
        self.tell_others(*group, *sender, |mailbox| {
            blobs.iter().for_each(|news| mailbox.news(news.clone()));
        });
    }

    /// Tells the group's other sessions what a device says of itself, if that is new.
    pub fn presence(&mut self, no: SessionNo, status: u8, now: Now) {
        let Some(member) = self.members.get_mut(&no) else {
            return;
        };
        if member.status == status || member.mailbox.is_ended() {
            return;
        }
        member.status = status;
        let Registration { group, device } = member.registration;
        self.announce(group, device, status, now.unix);
    }

    /// The next thing that a session has to hear.
    pub fn take(&mut self, no: SessionNo) -> Option<Delivery> {
        self.members.get_mut(&no)?.mailbox.take()
    }

    /// A session that got something to hear since it was last named here.
    pub fn poll_woken(&mut self) -> Option<SessionNo> {
        self.woken.pop_first()
    }

    /// Fills in who of a group's devices is online now, in what storage gave for `op`.
    pub fn mark_online(&self, op: &ReadOp, result: &mut ReadResult, now: Now) {
        let (ReadOp::Devices { group, .. }, ReadResult::Devices(rows)) = (op, result) else {
            return;
        };
        let Some(online) = self.groups.get(group) else {
            return;
        };
        for row in rows {
            if online.contains_key(&row.device_id) {
                row.online = true;
                row.last_seen = now.unix;
            }
        }
    }

    fn end(&mut self, group: GroupId, device: DeviceId, why: Ending) {
        let Some(no) = self.groups.get(&group).and_then(|devices| devices.get(&device)) else {
            return;
        };
        if let Some(member) = self.members.get_mut(no) {
            member.mailbox.end(why);
            self.woken.insert(*no);
        }
    }

    fn announce(&mut self, group: GroupId, device: DeviceId, status: u8, now: UnixMs) {
        let presence = PeerPresence { device_id: device, status, last_seen: now };
        self.tell_others(group, device, |mailbox| mailbox.presence(presence.clone()));
    }

    /// Applies `tell` to the mailboxes of a group's sessions but for those of one device.
    fn tell_others(&mut self, group: GroupId, but: DeviceId, tell: impl Fn(&mut Mailbox)) {
        let devices = self.groups.get(&group).into_iter().flatten();
        for (_, no) in devices.filter(|(device, _)| **device != but) {
            if let Some(member) = self.members.get_mut(no) {
                tell(&mut member.mailbox);
                self.woken.insert(*no);
            }
        }
    }

    fn bucket(&mut self, group: GroupId, device: DeviceId, now: MonoMs) -> Arc<Bucket> {
        if self.buckets.len() >= self.prune_at {
            self.buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_whole(now));
            self.prune_at = FIRST_PRUNE.max(2 * self.buckets.len());
        }
        let bucket = self.buckets.entry((group, device));
        Arc::clone(bucket.or_insert_with(|| Arc::new(Bucket::new(self.per_minute))))
    }
}

#[cfg(test)]
mod tests;
