//! A store in memory: the reference that real stores are measured by, with crashes and planted faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sync_relay_core::Policy;
use sync_relay_core::decide::{
    AdmitFacts, ClaimPlan, DeviceFacts, InviteFacts, Known, PushFacts, acknowledged, invite_is_over,
    invite_status, plan_admit, plan_claim, plan_create_invite, plan_push, plan_revoke,
};
use sync_relay_core::store::{
    Acknowledge, Admit, Admitted, Backlog, ClaimInvite, ClaimedInvite, CreateInvite, InviteStatus, NewBlob,
    News, Payload, PullPage, PushOp, Pushed, ReadOp, ReadResult, Refusal, RevokeInvite, Seen, Stats, Store,
    StoreError, WriteOp, WriteOutcome, WriteResult,
};
use sync_types::limits::MAX_INLINE_NOTIFY;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, DeviceRow, GroupId, KeyLog, PullResponse, StoreId, StoredBlob, UnixMs,
};

/// Faults that a test plants to show that it would find them. None by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A batch is answered before it is durable: [`MemoryStore::crash`] loses the last one.
    pub ack_before_commit: bool,
    /// Every seventh blob of a group gets the cursor of the one before it, and takes its place.
    pub reuse_cursor: bool,
}

/// A store without a disk. What [`apply_now`](Self::apply_now) has returned survives
/// [`crash`](Self::crash), as with a real one.
#[derive(Debug)]
pub struct MemoryStore {
    policy: Policy,
    faults: Faults,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    current: State,
    /// What a crash falls back to, when that is not `current`.
    durable: Option<State>,
}

#[derive(Debug, Clone)]
struct State {
    store_id: StoreId,
    groups: BTreeMap<GroupId, Group>,
    invites: BTreeMap<String, (InviteFacts, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Group {
    key_log: KeyLog,
    max_cursor: Cursor,
    oldest_cursor: Cursor,
    stored_bytes: u64,
    devices: BTreeMap<DeviceId, Device>,
    blobs: BTreeMap<Cursor, Blob>,
    places: HashMap<BlobId, Cursor>,
}

#[derive(Debug, Clone)]
struct Device {
    name: Vec<u8>,
    acked: Cursor,
    last_seen: UnixMs,
    revoked: bool,
}

#[derive(Debug, Clone)]
struct Blob {
    blob_id: BlobId,
    sender: DeviceId,
    payload: Payload,
    hash: BlobHash,
    stored_at: UnixMs,
    expires_at: Option<UnixMs>,
}

impl MemoryStore {
    /// An empty store with an id of its own.
    pub fn new(store_id: StoreId, policy: Policy) -> Self {
        Self::with_faults(store_id, policy, Faults::default())
    }

    /// An empty store that does what it should not.
    pub fn with_faults(store_id: StoreId, policy: Policy, faults: Faults) -> Self {
        let current = State { store_id, groups: BTreeMap::new(), invites: BTreeMap::new() };
        let inner = Mutex::new(Inner { current, durable: None });
        Self { policy, faults, inner }
    }

    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        self.inner().current.store_id
    }

    /// [`Store::apply`], without waiting.
    pub fn apply_now(&self, batch: &[WriteOp]) -> Vec<WriteOutcome> {
        let mut inner = self.inner();
        inner.durable = self.faults.ack_before_commit.then(|| inner.current.clone());
        let state = &mut inner.current;
        batch.iter().map(|op| state.write(op, &self.policy, self.faults)).collect()
    }

    /// [`Store::read`], without waiting.
    pub fn read_now(&self, op: &ReadOp) -> ReadResult {
        self.inner().current.read(op)
    }

    /// The power goes, and comes back: what was answered is still there.
    pub fn crash(&self) {
        let mut inner = self.inner();
        if let Some(durable) = inner.durable.take() {
            inner.current = durable;
        }
    }

    /// Somebody deletes the database: everything is gone, and the new store has another id.
    pub fn wipe(&self, store_id: StoreId) {
        let mut inner = self.inner();
        inner.durable = None;
        inner.current = State { store_id, groups: BTreeMap::new(), invites: BTreeMap::new() };
    }

    /// Removes a device from its group, as a rotation will.
    pub fn revoke(&self, group: GroupId, device: DeviceId) {
        let mut inner = self.inner();
        let group = inner.current.groups.get_mut(&group);
        if let Some(device) = group.and_then(|group| group.devices.get_mut(&device)) {
            device.revoked = true;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn apply(&self, batch: &[WriteOp]) -> Result<Vec<WriteOutcome>, StoreError> {
        Ok(self.apply_now(batch))
    }

    async fn read(&self, op: &ReadOp) -> Result<ReadResult, StoreError> {
        Ok(self.read_now(op))
    }
}

impl State {
    fn write(&mut self, op: &WriteOp, policy: &Policy, faults: Faults) -> WriteOutcome {
        match op {
            WriteOp::Admit(op) => self.admit(op, policy),
            WriteOp::Push(op) => self.push(op, policy, faults),
            WriteOp::Acknowledge(op) => Ok(self.acknowledge(op)),
            WriteOp::Seen(op) => Ok(self.seen(op)),
            WriteOp::CreateInvite(op) => self.create_invite(op),
            WriteOp::ClaimInvite(op) => self.claim_invite(op),
            WriteOp::RevokeInvite(op) => self.revoke_invite(op),
        }
    }

    fn admit(&mut self, op: &Admit, policy: &Policy) -> WriteOutcome {
        let group = self.groups.get(&op.group);
        let device = group.and_then(|group| group.devices.get(&op.device));
        let facts = AdmitFacts {
            store_id: self.store_id,
            group: group.map(|group| (group.key_log.clone(), group.max_cursor)),
            device: device.map(|device| DeviceFacts { acked: device.acked, revoked: device.revoked }),
            groups: self.groups.len() as u64,
            devices: group.map_or(0, |g| g.devices.values().filter(|d| !d.revoked).count() as u64),
        };
        let plan = plan_admit(policy, &facts, op)?;
        if let (true, Some(log)) = (plan.new_group, &plan.new_log) {
            self.groups.insert(op.group, Group::new(log.clone()));
        }
        let group = self.groups.get_mut(&op.group).ok_or(Refusal::Unknown)?;
        if let Some(log) = plan.new_log {
            group.key_log = log;
        }
        let device = Device { name: op.name.clone(), acked: plan.acked, last_seen: op.now, revoked: false };
        group.devices.insert(op.device, device);
        Ok(WriteResult::Admitted(Admitted { epoch: plan.epoch, acked: plan.acked }))
    }

    fn push(&mut self, op: &PushOp, policy: &Policy, faults: Faults) -> WriteOutcome {
        let used_bytes = self.groups.values().map(|group| group.stored_bytes).sum();
        let group = self.groups.get_mut(&op.group);
        let facts = group.as_ref().map(|group| PushFacts {
            epoch: group.key_log.epoch(),
            max_cursor: group.max_cursor,
            stored_bytes: group.stored_bytes,
            revoked: group.devices.get(&op.device).is_none_or(|device| device.revoked),
            used_bytes,
        });
        let known = group.as_ref().map(|group| group.known(op)).unwrap_or_default();
        let mut plan = plan_push(policy, facts.as_ref(), &known, op)?;
        let group = group.ok_or(Refusal::Unknown)?;
        group.make_room(plan.make_room)?;
        for (blob, placed) in op.blobs.iter().zip(&mut plan.placed) {
            if !placed.fresh {
                continue;
            }
            if faults.reuse_cursor && placed.cursor.get() % 7 == 0 {
                placed.cursor = placed.cursor.prev();
            }
            let stored = Blob {
                blob_id: blob.blob_id,
                sender: op.device,
                payload: blob.payload.clone(),
                hash: blob.hash,
                stored_at: op.now,
                expires_at: blob.expires_at,
            };
            group.blobs.insert(placed.cursor, stored);
            group.places.insert(blob.blob_id, placed.cursor);
        }
        group.stored_bytes += plan.added;
        group.max_cursor = plan.max_cursor;
        Ok(WriteResult::Pushed(Pushed { placed: plan.placed }))
    }

    fn acknowledge(&mut self, op: &Acknowledge) -> WriteResult {
        if let Some(group) = self.groups.get_mut(&op.group)
            && let Some(device) = group.devices.get_mut(&op.device)
        {
            device.acked = acknowledged(device.acked, op.cursor, group.max_cursor);
            device.last_seen = op.now;
        }
        WriteResult::Acknowledged
    }

    fn seen(&mut self, op: &Seen) -> WriteResult {
        let group = self.groups.get_mut(&op.group);
        if let Some(device) = group.and_then(|group| group.devices.get_mut(&op.device)) {
            device.last_seen = device.last_seen.max(op.now);
        }
        WriteResult::Seen
    }

    fn create_invite(&mut self, op: &CreateInvite) -> WriteOutcome {
        self.invites.retain(|_, (facts, _)| !invite_is_over(facts, op.now));
        plan_create_invite(self.invites.contains_key(&op.lookup), self.invites.len() as u64)?;
        let facts = InviteFacts { expires_at: op.expires_at, revoke_hash: op.revoke_hash, claimed: None };
        self.invites.insert(op.lookup.clone(), (facts, op.payload.clone()));
        Ok(WriteResult::InviteCreated)
    }

    fn claim_invite(&mut self, op: &ClaimInvite) -> WriteOutcome {
        let invite = self.invites.get_mut(&op.lookup);
        let plan = plan_claim(invite.as_ref().map(|(facts, _)| facts), op.claim_hash.as_ref(), op.now)?;
        let (facts, payload) = invite.ok_or(Refusal::InviteNotFound)?;
        let expires_at = facts.expires_at;
        let payload = match plan {
            ClaimPlan::Repeat => payload.clone(),
            ClaimPlan::Take { keep_payload } => {
                facts.claimed = Some((op.now, op.claim_hash));
                let given = payload.clone();
                if !keep_payload {
                    payload.clear();
                }
                given
            }
        };
        Ok(WriteResult::InviteClaimed(ClaimedInvite { payload, expires_at }))
    }

    fn revoke_invite(&mut self, op: &RevokeInvite) -> WriteOutcome {
        let invite = self.invites.get(&op.lookup).map(|(facts, _)| facts);
        plan_revoke(invite, &op.revoke_hash, op.now)?;
        self.invites.remove(&op.lookup);
        Ok(WriteResult::InviteRevoked)
    }

    fn read(&self, op: &ReadOp) -> ReadResult {
        match op {
            ReadOp::KeyLog { group } => ReadResult::KeyLog(self.groups.get(group).map(|g| g.key_log.clone())),
            ReadOp::Backlog { group, last_cursor, limit, inline } => {
                ReadResult::Backlog(self.groups.get(group).map_or(
                    Backlog {
                        max_cursor: Cursor::ZERO,
                        oldest_cursor: Cursor::ZERO.next(),
                        at_cursor: None,
                        newest: Vec::new(),
                    },
                    |group| group.backlog(*last_cursor, *limit as usize, *inline),
                ))
            }
            ReadOp::Pull(page) => ReadResult::Page(self.groups.get(&page.group).map_or(
                PullResponse {
                    blobs: Vec::new(),
                    has_more: false,
                    max_cursor: page.after,
                    oldest_cursor: Cursor::ZERO.next(),
                },
                |group| group.page(page),
            )),
            ReadOp::Devices { group } => {
                ReadResult::Devices(self.groups.get(group).map(Group::rows).unwrap_or_default())
            }
            ReadOp::Invite { lookup, revoke_hash, now } => {
                ReadResult::Invite(self.invite(lookup, revoke_hash, *now))
            }
            ReadOp::Stats => ReadResult::Stats(Stats {
                groups: self.groups.len() as u64,
                blobs: self.groups.values().map(|group| group.blobs.len() as u64).sum(),
            }),
        }
    }

    fn invite(&self, lookup: &str, revoke_hash: &[u8; 32], now: UnixMs) -> InviteStatus {
        invite_status(self.invites.get(lookup).map(|(facts, _)| facts), revoke_hash, now)
    }
}

impl Group {
    fn new(key_log: KeyLog) -> Self {
        Self {
            key_log,
            max_cursor: Cursor::ZERO,
            oldest_cursor: Cursor::ZERO.next(),
            stored_bytes: 0,
            devices: BTreeMap::new(),
            blobs: BTreeMap::new(),
            places: HashMap::new(),
        }
    }

    fn known(&self, op: &PushOp) -> HashMap<BlobId, Known> {
        let known = |id: &BlobId| {
            let cursor = *self.places.get(id)?;
            let blob = self.blobs.get(&cursor).filter(|blob| blob.blob_id == *id)?;
            let (hash, stored_at) = (blob.hash, blob.stored_at);
            let known = Known { cursor, hash, stored_at };
            Some((*id, known))
        };
        op.blobs.iter().filter_map(|blob| known(&blob.blob_id)).collect()
    }

    /// Drops the oldest blobs that may expire and that every device has, until `bytes` are free.
    fn make_room(&mut self, bytes: u64) -> Result<(), Refusal> {
        let present = || self.devices.iter().filter(|(_, device)| !device.revoked);
        let slowest = present().min_by_key(|(_, device)| device.acked);
        let acked = slowest.map_or(Cursor::ZERO, |(_, device)| device.acked);
        let mut free = 0;
        let mut dropped = Vec::new();
        for (cursor, blob) in self.blobs.range(..=acked).filter(|(_, b)| b.expires_at.is_some()) {
            if free >= bytes {
                break;
            }
            free += NewBlob::cost(blob.payload.len()) as u64;
            dropped.push(*cursor);
        }
        if free < bytes {
            let held_by = slowest.filter(|(_, device)| device.acked < self.max_cursor);
            return Err(Refusal::GroupFull { held_by: held_by.map(|(id, _)| *id) });
        }
        for cursor in dropped {
            if let Some(blob) = self.blobs.remove(&cursor) {
                self.places.remove(&blob.blob_id);
            }
        }
        self.stored_bytes -= free;
        Ok(())
    }

    fn backlog(&self, last_cursor: Cursor, limit: usize, inline: bool) -> Backlog {
        let after = self.blobs.range(last_cursor.next()..).rev().take(limit);
        let after = after.filter(|(cursor, _)| **cursor > last_cursor);
        let mut newest: Vec<News> = after
            .map(|(cursor, blob)| News {
                blob_id: blob.blob_id,
                cursor: *cursor,
                sender: blob.sender,
                stored_at: blob.stored_at,
                size: blob.payload.len() as u32,
                payload: (inline && blob.payload.len() <= MAX_INLINE_NOTIFY).then(|| blob.payload.clone()),
            })
            .collect();
        newest.reverse();
        Backlog {
            max_cursor: self.max_cursor,
            oldest_cursor: self.oldest_cursor,
            at_cursor: self.blobs.get(&last_cursor).map(|blob| blob.blob_id),
            newest,
        }
    }

    fn page(&self, page: &PullPage) -> PullResponse {
        let mut blobs = Vec::new();
        let mut bytes = 0;
        let mut has_more = false;
        for (cursor, blob) in self.blobs.iter().filter(|(cursor, _)| **cursor > page.after) {
            bytes += blob.payload.len() + PullPage::BLOB_OVERHEAD;
            has_more = blobs.len() >= page.limit as usize || (bytes > page.max_bytes && !blobs.is_empty());
            if has_more {
                break;
            }
            blobs.push(StoredBlob {
                blob_id: blob.blob_id,
                cursor: *cursor,
                sender_id: blob.sender,
                payload: Some(blob.payload.to_vec()),
                timestamp: blob.stored_at,
                hash: None,
            });
        }
        PullResponse {
            max_cursor: blobs.last().map_or(page.after, |blob| blob.cursor),
            blobs,
            has_more,
            oldest_cursor: self.oldest_cursor,
        }
    }

    fn rows(&self) -> Vec<DeviceRow> {
        let present = self.devices.iter().filter(|(_, device)| !device.revoked);
        let row = |(id, device): (&DeviceId, &Device)| DeviceRow {
            device_id: *id,
            device_name: device.name.clone(),
            acked_cursor: device.acked,
            last_seen: device.last_seen,
            online: false,
        };
        present.map(row).collect()
    }
}
