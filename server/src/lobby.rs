//! Sockets that have not shown to be a member's: how many there are at once, and who has to go when they
//! are too many.
//!
//! A flood of strangers must not keep members out. So a full lobby turns nobody away at the door: whoever
//! has come in longest has to leave, of those from the address that has most sockets here. A member is
//! through in the time of a few round trips; one address cannot push out what comes from others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::caller::Address;

/// The room for strangers.
#[derive(Debug)]
pub(crate) struct Lobby {
    most: u32,
    room: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    evicted: u64,
    /// By the order in which they came.
    guests: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    address: Option<Address>,
    leave: watch::Sender<bool>,
}

/// One socket's stay. It ends when this is dropped, or with [`Guest::leave`].
#[derive(Debug)]
pub(crate) struct Guest {
    lobby: Arc<Lobby>,
    no: u64,
    asked: watch::Receiver<bool>,
    room: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Lobby {
    pub(crate) fn new(most: u32) -> Arc<Self> {
        let most = most.max(1);
        let room = Arc::new(Semaphore::new(most as usize));
        Arc::new(Self { most, room, waiting: Mutex::default() })
    }

    /// Lets a socket in. When there is no room, asks another to go, and waits until it has.
    pub(crate) async fn enter(self: &Arc<Self>, address: Option<Address>) -> Option<Guest> {
        let permit = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.lock().evict();
                Arc::clone(&self.room).acquire_owned().await.ok()?
            }
        };
        let (leave, asked) = watch::channel(false);
        let mut waiting = self.lock();
        waiting.next += 1;
        let no = waiting.next;
        waiting.guests.insert(no, Entry { address, leave });
        drop(waiting);
        Some(Guest { lobby: Arc::clone(self), no, asked, room: Mutex::new(Some(permit)) })
    }

    /// Waits until nobody is here.
    pub(crate) async fn empty(&self) {
        let _ = self.room.acquire_many(self.most).await;
    }

    /// Sockets that had to go, so far.
    pub(crate) fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// Sockets that are here.
    pub(crate) fn count(&self) -> usize {
        self.most as usize - self.room.available_permits()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Asks the longest waiting of the address with the most sockets to go.
    fn evict(&mut self) {
        let mut counts: HashMap<Option<Address>, usize> = HashMap::new();
        for entry in self.guests.values() {
            *counts.entry(entry.address).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let oldest = self.guests.iter().find(|(_, entry)| counts.get(&entry.address).copied() == most);
        if let Some(no) = oldest.map(|(no, _)| *no)
            && let Some(entry) = self.guests.remove(&no)
        {
            self.evicted += 1;
            let _ = entry.leave.send(true);
        }
    }
}

impl Guest {
    /// Whose the socket is, now that it is known.
    pub(crate) fn is_of(&self, address: Option<Address>) {
        if let Some(entry) = self.lobby.lock().guests.get_mut(&self.no) {
            entry.address = address;
        }
    }

    /// The socket is a member's: it goes on elsewhere.
    pub(crate) fn leave(&self) {
        self.lobby.lock().guests.remove(&self.no);
        self.room.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until the socket has to make room; for ever, once it has left.
    pub(crate) async fn evicted(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn address(n: u8) -> Option<Address> {
        Some(Address::of(IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))))
    }

    fn is_asked(guest: &Guest) -> bool {
        pin!(guest.evicted()).now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_oldest_of_the_address_with_the_most_has_to_go() {
        let lobby = Lobby::new(4);
        let mut guests = Vec::new();
        for n in [1, 2, 2, 3] {
            guests.push(lobby.enter(address(n)).await.unwrap());
        }
        let mut next = pin!(lobby.enter(address(4)));
        assert!(next.as_mut().now_or_never().is_none(), "the room is there when the other has gone");
        assert_eq!(guests.iter().map(is_asked).collect::<Vec<_>>(), [false, true, false, false]);
        drop(guests.remove(1));
        let next = next.await.unwrap();
        assert_eq!(lobby.count(), 4);
        assert!(!is_asked(&next));

        // All have one: the oldest.
        let mut another = pin!(lobby.enter(address(5)));
        assert!(another.as_mut().now_or_never().is_none());
        assert!(is_asked(&guests[0]));
        drop(guests.remove(0));
        another.await.unwrap();
    }

    #[tokio::test]
    async fn who_has_left_is_not_asked_and_makes_room() {
        let lobby = Lobby::new(1);
        let member = lobby.enter(None).await.unwrap();
        member.leave();
        let next = lobby.enter(None).await.unwrap();
        assert!(!is_asked(&member));
        drop(member);
        assert_eq!(lobby.count(), 1);
        drop(next);
        assert!(lobby.empty().now_or_never().is_some());
    }

    #[tokio::test]
    async fn whose_a_socket_is_may_be_known_later() {
        let lobby = Lobby::new(3);
        let unknown = [lobby.enter(None).await.unwrap(), lobby.enter(None).await.unwrap()];
        let known = lobby.enter(address(1)).await.unwrap();
        unknown[0].is_of(address(2));
        unknown[1].is_of(address(1));
        let mut next = pin!(lobby.enter(None));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(is_asked(&unknown[1]) && !is_asked(&unknown[0]) && !is_asked(&known));
    }
}
