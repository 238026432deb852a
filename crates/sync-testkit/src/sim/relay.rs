//! The relay of the simulated world: real sessions, a real hub, a store in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use sync_relay_core::{
    Committed, Hub, OpId, Output, Policy, ReadOp, RelayIdentity, Session, SessionNo, StoreReply, WriteOp,
};
use sync_types::{RelaySecret, StoreId};

use super::{ConnId, Happening, World};
use crate::{Faults, MemoryStore};

#[derive(Debug)]
struct RelayConn {
    no: SessionNo,
    session: Session,
}

/// Who waits for a write.
type Waiting = Option<(ConnId, OpId)>;

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) identity: Arc<RelayIdentity>,
    pub(super) store: MemoryStore,
    pub(super) up: bool,
    hub: Hub,
    conns: BTreeMap<ConnId, RelayConn>,
    queue: VecDeque<(Waiting, WriteOp)>,
    committing: bool,
    life: u64,
}

impl Relay {
    pub(super) fn new(rng: &mut ChaCha20Rng, faults: Faults) -> Self {
        let policy = Policy::default();
        let store_id = random_store_id(rng);
        let identity = Arc::new(RelayIdentity {
            secret: RelaySecret::generate(rng),
            store_id,
            name: "simulated".to_owned(),
            policy: policy.clone(),
        });
        Self {
            hub: Hub::new(policy.messages_per_minute),
            identity,
            store: MemoryStore::with_faults(store_id, policy, faults),
            up: true,
            conns: BTreeMap::new(),
            queue: VecDeque::new(),
            committing: false,
            life: 0,
        }
    }

    pub(super) fn timeout(&self) -> Option<u64> {
        self.conns.values().filter_map(|c| c.session.poll_timeout()).map(|at| at.0).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

fn random_store_id(rng: &mut ChaCha20Rng) -> StoreId {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    StoreId(id)
}

impl World {
    /// A client's socket reaches the relay, if it is up.
    pub(super) fn relay_accepts(&mut self, conn: ConnId) -> bool {
        if !self.relay.up {
            return false;
        }
        let seed = self.seed();
        let session = Session::new(Arc::clone(&self.relay.identity), seed, self.now());
        let no = self.relay.hub.open();
        self.relay.conns.insert(conn, RelayConn { no, session });
        true
    }

    pub(super) fn relay_frame(&mut self, conn: ConnId, frame: &[u8]) {
        let now = self.now();
        if let Some(c) = self.relay.conns.get_mut(&conn) {
            c.session.handle_frame(frame, now);
            self.drive(conn);
        }
    }

    pub(super) fn relay_timeouts(&mut self) {
        let now = self.now();
        let ids: Vec<_> = self.relay.conns.keys().copied().collect();
        for conn in ids {
            if let Some(c) = self.relay.conns.get_mut(&conn) {
                c.session.handle_timeout(now);
                self.drive(conn);
            }
        }
    }

    pub(super) fn relay_closed(&mut self, conn: ConnId) {
        let now = self.now();
        if let Some(c) = self.relay.conns.remove(&conn) {
            self.relay.hub.unregister(c.no, now);
            if let Some(op) = c.session.farewell(now) {
                self.enqueue(None, op);
            }
            self.deliver();
        }
    }

    /// Does what a session asks for, then lets others hear of it.
    fn drive(&mut self, conn: ConnId) {
        let now = self.now();
        while let Some(c) = self.relay.conns.get_mut(&conn) {
            let no = c.no;
            match c.session.poll_output() {
                None => break,
                Some(Output::Send(frame)) => self.transmit(conn, false, frame),
                Some(Output::Write { id, op }) => self.enqueue(Some((conn, id)), op),
                Some(Output::Read { id, op }) => {
                    let result = self.read(&op);
                    if let Some(c) = self.relay.conns.get_mut(&conn) {
                        c.session.handle_stored(id, StoreReply::Read(result), now);
                    }
                }
                Some(Output::Register(registration)) => {
                    let bucket = self.relay.hub.register(no, registration, now);
                    c.session.handle_registered(bucket);
                }
                Some(Output::Presence { status }) => self.relay.hub.presence(no, status, now),
                Some(Output::Close { code, .. }) => {
                    self.relay_closed(conn);
                    let delay = self.conns.get(&conn).map_or(0, |c| c.down.last_arrival);
                    let delay = delay.saturating_sub(self.ms);
                    self.later(delay + 1, Happening::ClosedAtClient(conn, Some(code)));
                    break;
                }
            }
        }
        self.deliver();
    }

    fn read(&mut self, op: &ReadOp) -> sync_relay_core::ReadResult {
        let mut result = self.relay.store.read_now(op);
        let now = self.now();
        self.relay.hub.mark_online(op, &mut result, now);
        result
    }

    /// Hands out what the hub has for its sessions.
    fn deliver(&mut self) {
        let now = self.now();
        while let Some(no) = self.relay.hub.poll_woken() {
            let Some(conn) = self.relay.conns.iter().find(|(_, c)| c.no == no).map(|(id, _)| *id) else {
                continue;
            };
            while let Some(c) = self.relay.conns.get_mut(&conn).filter(|c| c.session.wants_deliveries()) {
                let Some(delivery) = self.relay.hub.take(no) else {
                    break;
                };
                c.session.handle_delivery(delivery, now);
            }
            self.drive(conn);
        }
        // A session that was not ready when it was woken takes its deliveries when it is.
        let ready: Vec<_> = self
            .relay
            .conns
            .iter()
            .filter(|(_, c)| c.session.wants_deliveries())
            .map(|(id, c)| (*id, c.no))
            .collect();
        for (conn, no) in ready {
            let mut any = false;
            while let Some(delivery) = self.relay.hub.take(no) {
                any = true;
                if let Some(c) = self.relay.conns.get_mut(&conn) {
                    c.session.handle_delivery(delivery, now);
                }
            }
            if any {
                self.drive(conn);
            }
        }
    }

    fn enqueue(&mut self, waiting: Waiting, op: WriteOp) {
        self.relay.queue.push_back((waiting, op));
        if !self.relay.committing {
            self.relay.committing = true;
            let delay = if self.rough { 1 + self.below(30) } else { 1 };
            self.later(delay, Happening::Commit { life: self.relay.life });
        }
    }

    /// Everything queued becomes one transaction; then its answers go out.
    pub(super) fn commit(&mut self, life: u64) {
        if life != self.relay.life {
            return;
        }
        self.relay.committing = false;
        let queue: Vec<_> = std::mem::take(&mut self.relay.queue).into();
        let ops: Vec<_> = queue.iter().map(|(_, op)| op.clone()).collect();
        let outcomes = self.relay.store.apply_now(&ops);
        let now = self.now();
        for ((waiting, op), outcome) in queue.into_iter().zip(outcomes) {
            if let Some(committed) = outcome.as_ref().ok().and_then(|result| Committed::of(&op, result)) {
                self.relay.hub.committed(&committed);
            }
            if let Some((conn, id)) = waiting
                && let Some(c) = self.relay.conns.get_mut(&conn)
            {
                c.session.handle_stored(id, StoreReply::Written(outcome), now);
                self.drive(conn);
            }
        }
        self.deliver();
    }

    /// The relay loses power: what it had not committed is gone, its connections break.
    pub(super) fn relay_down(&mut self) {
        if !self.relay.up {
            return;
        }
        self.relay.up = false;
        self.relay.life += 1;
        self.relay.committing = false;
        self.relay.queue.clear();
        self.relay.store.crash();
        self.relay.hub = Hub::new(self.relay.identity.policy.messages_per_minute);
        for conn in std::mem::take(&mut self.relay.conns).into_keys() {
            let delay = 1 + self.below(3_000);
            self.later(delay, Happening::ClosedAtClient(conn, None));
        }
        let delay = 100 + self.below(10_000);
        self.later(delay, Happening::RelayUp);
    }

    pub(super) fn relay_up(&mut self) {
        self.relay.up = true;
    }

    /// Somebody deletes the relay's database, and starts it again.
    pub(super) fn wipe(&mut self) {
        self.relay_down();
        self.rotation_lost |= self.plan.rotations;
        let store_id = random_store_id(&mut self.rng);
        self.relay.store.wipe(store_id);
        let old = &self.relay.identity;
        self.relay.identity = Arc::new(RelayIdentity {
            secret: RelaySecret::from_bytes(*old.secret.expose_bytes()),
            store_id,
            name: old.name.clone(),
            policy: old.policy.clone(),
        });
    }
}
