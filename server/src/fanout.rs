//! The hub, shared by all tasks, and how each of them is woken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_relay_core::store::{Ended, ReadOp, ReadResult};
use sync_relay_core::{Bucket, Committed, Delivery, Hub, Registration, SessionNo};
use sync_types::{DeviceId, GroupId, Now};
use tokio::sync::Notify;

/// The hub behind a lock that is never held across a wait.
#[derive(Debug)]
pub(crate) struct Fanout {
    inner: Mutex<Inner>,
    group_deleted: Notify,
}

#[derive(Debug)]
struct Inner {
    hub: Hub,
    wakers: HashMap<SessionNo, Arc<Notify>>,
}

/// One connection's place in the hub. Dropped, the connection is forgotten and the others hear of it.
#[derive(Debug)]
pub(crate) struct Seat {
    fanout: Arc<Fanout>,
    no: SessionNo,
    woken: Arc<Notify>,
    clock: crate::clock::Clock,
}

impl Fanout {
    pub(crate) fn new(messages_per_minute: u32) -> Self {
        let inner = Mutex::new(Inner { hub: Hub::new(messages_per_minute), wakers: HashMap::new() });
        Self { inner, group_deleted: Notify::new() }
    }

    pub(crate) fn open(self: &Arc<Self>, clock: crate::clock::Clock) -> Seat {
        let woken = Arc::new(Notify::new());
        let mut inner = self.lock();
        let no = inner.hub.open();
        inner.wakers.insert(no, Arc::clone(&woken));
        drop(inner);
        Seat { fanout: Arc::clone(self), no, woken, clock }
    }

    /// Tells of commits, in their order.
    pub(crate) fn committed<'a>(&self, commits: impl Iterator<Item = &'a Committed>) {
        let mut inner = self.lock();
        for committed in commits {
            inner.hub.committed(committed);
            if committed.ended == Ended::Group {
                self.group_deleted.notify_one();
            }
        }
        inner.wake();
    }

    /// Waits until a group has been deleted since the last time.
    pub(crate) async fn group_deleted(&self) {
        self.group_deleted.notified().await;
    }

    /// Every device that is online, with its group.
    pub(crate) fn online(&self) -> Vec<(GroupId, DeviceId)> {
        self.lock().hub.registrations().map(|who| (who.group, who.device)).collect()
    }

    pub(crate) fn mark_online(&self, op: &ReadOp, result: &mut ReadResult, now: Now) {
        self.lock().hub.mark_online(op, result, now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        while let Some(no) = self.hub.poll_woken() {
            if let Some(waker) = self.wakers.get(&no) {
                waker.notify_one();
            }
        }
    }
}

impl Seat {
    pub(crate) fn register(&self, registration: Registration) -> Arc<Bucket> {
        let now = self.clock.now();
        let mut inner = self.fanout.lock();
        let bucket = inner.hub.register(self.no, registration, now);
        inner.wake();
        bucket
    }

    pub(crate) fn presence(&self, status: u8) {
        let now = self.clock.now();
        let mut inner = self.fanout.lock();
        inner.hub.presence(self.no, status, now);
        inner.wake();
    }

    pub(crate) fn take(&self) -> Option<Delivery> {
        self.fanout.lock().hub.take(self.no)
    }

    /// Wakes itself: there is more to take.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Waits until there may be something to take.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.clock.now();
        let mut inner = self.fanout.lock();
        inner.wakers.remove(&self.no);
        inner.hub.unregister(self.no, now);
        inner.wake();
    }
}
