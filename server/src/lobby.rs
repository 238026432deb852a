//! Sockets that have not shown to be a member's: how many there are at once, and who has to go when they
//! are too many.
//!
//! A flood of strangers must not keep members out. So a full lobby turns nobody away at the door: whoever
//! has come in longest has to leave, of those from the address that has most sockets here. A member is
//! through in the time of a few round trips; one address cannot push out what comes from others.
//!
//! Nobody has to go who has only just come in: when thousands of members come back at once, they wait at the
//! door until those before them are through, instead of pushing each other out again and again. That does not hold
//! for an address that takes more than its part of the room: nobody waits at the door for one that keeps coming.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::caller::Address;

/// How long a socket may stay in any case, for each place that there is: with 256 places, a quarter of a second.
const STAY: Duration = Duration::from_millis(1);

/// The part of the room that one address may take before its sockets have to go as soon as they have come: a quarter.
const PART: u32 = 4;

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
    since: Instant,
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
            Err(_) => self.make_room().await?,
        };
        let (leave, asked) = watch::channel(false);
        let mut waiting = self.lock();
        waiting.next += 1;
        let no = waiting.next;
        waiting.guests.insert(no, Entry { since: Instant::now(), address, leave });
        drop(waiting);
        Some(Guest { lobby: Arc::clone(self), no, asked, room: Mutex::new(Some(permit)) })
    }

    /// Waits until somebody has left, and asks somebody to as soon as that may be asked.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        let mut room = pin!(Arc::clone(&self.room).acquire_owned());
        loop {
            let Some(later) = self.lock().ask_to_go(self.most) else {
                return room.await.ok();
            };
            tokio::select! {
                permit = room.as_mut() => return permit.ok(),
                () = sleep_until(later) => {}
            }
        }
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
    /// Asks the longest waiting of the address with the most sockets to go; if it has not been here for as long as
    /// it may stay, gives when it will have been.
    fn ask_to_go(&mut self, room: u32) -> Option<Instant> {
        let mut counts: HashMap<Option<Address>, u32> = HashMap::new();
        for entry in self.guests.values() {
            *counts.entry(entry.address).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let crowd = |entry: &Entry| counts.get(&entry.address).copied() == most;
        let (no, entry) = self.guests.iter().find(|(_, entry)| crowd(entry))?;
        let (no, until) = (*no, entry.since + STAY * room);
        let takes_its_part = entry.address.is_none() || most <= Some(room.div_ceil(PART));
        if takes_its_part && until > Instant::now() {
            return Some(until);
        }
        if let Some(entry) = self.guests.remove(&no) {
            self.evicted += 1;
            let _ = entry.leave.send(true);
        }
        None
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

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    fn address(n: u8) -> Option<Address> {
        Some(Address::of(IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))))
    }

    fn is_asked(guest: &Guest) -> bool {
        pin!(guest.evicted()).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_address_with_the_most_has_to_go() {
        let lobby = Lobby::new(4);
        let mut guests = Vec::new();
        for n in [1, 2, 2, 3] {
            guests.push(lobby.enter(address(n)).await.unwrap());
        }
        advance(STAY * 4).await;
        let mut next = pin!(lobby.enter(address(4)));
        assert!(next.as_mut().now_or_never().is_none(), "the room is there when the other has gone");
        assert_eq!(guests.iter().map(is_asked).collect::<Vec<_>>(), [false, true, false, false]);
        drop(guests.remove(1));
        let next = next.await.unwrap();
        assert_eq!(lobby.count(), 4);
        assert!(!is_asked(&next));

        // All have one: the oldest.
        advance(STAY * 4).await;
        let mut another = pin!(lobby.enter(address(5)));
        assert!(another.as_mut().now_or_never().is_none());
        assert!(is_asked(&guests[0]));
        drop(guests.remove(0));
        another.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_to_go_who_has_only_just_come() {
        let lobby = Lobby::new(2);
        let first = lobby.enter(None).await.unwrap();
        advance(STAY).await;
        let second = lobby.enter(None).await.unwrap();
        let mut next = pin!(lobby.enter(None));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(!is_asked(&first) && !is_asked(&second));
        advance(STAY).await;
        assert!(next.as_mut().now_or_never().is_none());
        assert!(is_asked(&first) && !is_asked(&second));
        // Who leaves meanwhile makes room as well.
        second.leave();
        next.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_address_that_keeps_coming() {
        let lobby = Lobby::new(8);
        let mut guests = Vec::new();
        for n in [1, 1, 1, 2, 3, 4, 5, 6] {
            guests.push(lobby.enter(address(n)).await.unwrap());
        }
        let mut member = pin!(lobby.enter(address(7)));
        assert!(member.as_mut().now_or_never().is_none());
        assert!(is_asked(&guests[0]), "at once");
        assert_eq!(guests.iter().filter(|guest| is_asked(guest)).count(), 1);
        drop(guests.remove(0));
        let _member = member.await.unwrap();
        // With two it has no more than its part.
        let mut next = pin!(lobby.enter(address(8)));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(!guests.iter().any(is_asked));
    }

    #[tokio::test(start_paused = true)]
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

    #[tokio::test(start_paused = true)]
    async fn whose_a_socket_is_may_be_known_later() {
        let lobby = Lobby::new(3);
        let unknown = [lobby.enter(None).await.unwrap(), lobby.enter(None).await.unwrap()];
        let known = lobby.enter(address(1)).await.unwrap();
        unknown[0].is_of(address(2));
        unknown[1].is_of(address(1));
        advance(STAY * 3).await;
        let mut next = pin!(lobby.enter(None));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(is_asked(&unknown[1]) && !is_asked(&unknown[0]) && !is_asked(&known));
    }
}
