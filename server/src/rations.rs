//! What one address may do, and how often.
//!
//! The clock is the caller's, and what was taken can be given back: a lookup that finds something does not
//! count as a miss. Whoever comes again too soon after having been refused waits twice as long each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sync_relay_core::Bucket;
use sync_types::MonoMs;

use crate::caller::Address;
use crate::config::Limits;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The longest that an address is turned away for having come too often.
const LONGEST: Duration = HOUR;
/// Without another offence for so long, the next one counts as the first.
const FORGIVEN: Duration = HOUR;
/// Addresses remembered at once, some 20 MB of them. Whoever can come from more has all their allowances
/// anyway: then all but those that are connected are forgotten, and nobody is turned away for lack of room.
const MOST_ADDRESSES: usize = 64 * 1024;
/// Addresses from which on it is worth a look which of them can be forgotten.
const MANY_ADDRESSES: usize = 1024;
/// How often to look.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

/// What is rationed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ration {
    /// A connection to `/sync`, each of which may cost a handshake and the check of a proof.
    Session,
    /// A group that was not there.
    NewGroup,
    /// An invite that is laid down.
    InviteMade,
    /// An invite that is asked for.
    InviteAsked,
    /// An invite that is not there, or not for whoever asks.
    InviteMissed,
}

/// One for each [`Ration`].
const RATIONS: usize = 5;

/// What each address may do. A count of 0 is no limit.
#[derive(Debug)]
pub(crate) struct Rations {
    most_connections: u32,
    allowed: [(u32, Duration); RATIONS],
    accounts: Mutex<Accounts>,
}

#[derive(Debug)]
struct Accounts {
    of: HashMap<Address, Account>,
    prune_at: MonoMs,
}

#[derive(Debug)]
struct Account {
    connections: u32,
    allowances: [Allowance; RATIONS],
}

#[derive(Debug)]
struct Allowance {
    bucket: Bucket,
    offences: u32,
    refused_until: MonoMs,
}

/// One connection of an address, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Connected {
    rations: Arc<Rations>,
    counted: Option<Address>,
}

impl Rations {
    pub(crate) fn new(limits: &Limits) -> Self {
        let allowed = [
            (limits.sessions_per_minute, MINUTE),
            (limits.groups_per_hour, HOUR),
            (limits.invites_per_minute, MINUTE),
            (limits.invite_claims_per_minute, MINUTE),
            (limits.invite_misses_per_minute, MINUTE),
        ];
        let accounts = Accounts { of: HashMap::new(), prune_at: MonoMs(0) };
        Self { most_connections: limits.connections_per_ip, allowed, accounts: Mutex::new(accounts) }
    }

    /// Takes one, or says how long to wait. Who is not counted always may.
    pub(crate) fn take(&self, who: Option<Address>, ration: Ration, now: MonoMs) -> Result<(), Duration> {
        let (Some(address), Some((1.., _))) = (who, self.allowed.get(ration as usize)) else {
            return Ok(());
        };
        let mut accounts = self.lock();
        let account = accounts.get(address, &self.allowed, now);
        account.allowances.get_mut(ration as usize).map_or(Ok(()), |allowance| allowance.take(now))
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, who: Option<Address>, ration: Ration) {
        let accounts = self.lock();
        let account = who.and_then(|address| accounts.of.get(&address));
        if let Some(allowance) = account.and_then(|account| account.allowances.get(ration as usize)) {
            allowance.bucket.give_back();
        }
    }

    /// Counts a connection, unless the address has as many as it may.
    pub(crate) fn connect(self: &Arc<Self>, who: Option<Address>, now: MonoMs) -> Option<Connected> {
        let counted = who.filter(|_| self.most_connections > 0);
        if let Some(address) = counted {
            let mut accounts = self.lock();
            let account = accounts.get(address, &self.allowed, now);
            if account.connections >= self.most_connections {
                return None;
            }
            account.connections += 1;
        }
        Some(Connected { rations: Arc::clone(self), counted })
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// The account of an address, which is made if it is not there.
    fn get(&mut self, address: Address, allowed: &[(u32, Duration); RATIONS], now: MonoMs) -> &mut Account {
        if self.of.len() >= MANY_ADDRESSES && now >= self.prune_at {
            self.prune_at = now.plus(PRUNE_EVERY);
            self.of.retain(|_, account| !account.is_as_new(now));
            self.of.shrink_to(MANY_ADDRESSES);
        }
        if self.of.len() >= MOST_ADDRESSES && !self.of.contains_key(&address) {
            self.of.retain(|_, account| account.connections > 0);
        }
        self.of.entry(address).or_insert_with(|| Account::new(allowed))
    }
}

impl Account {
    fn new(allowed: &[(u32, Duration); RATIONS]) -> Self {
        let allowances = allowed.map(|(count, period)| Allowance {
            bucket: Bucket::of(count, period),
            offences: 0,
            refused_until: MonoMs(0),
        });
        Self { connections: 0, allowances }
    }

    fn is_as_new(&self, now: MonoMs) -> bool {
        self.connections == 0 && self.allowances.iter().all(|allowance| allowance.is_as_new(now))
    }
}

impl Allowance {
    fn take(&mut self, now: MonoMs) -> Result<(), Duration> {
        if now < self.refused_until {
            return Err(self.refused_until.since(now));
        }
        let Err(wait) = self.bucket.take(now) else {
            return Ok(());
        };
        if self.is_forgiven(now) {
            self.offences = 0;
        }
        let times = 1_u32.checked_shl(self.offences).unwrap_or(u32::MAX);
        self.offences = self.offences.saturating_add(1);
        let longer = self.bucket.interval().saturating_mul(times).min(LONGEST);
        self.refused_until = now.plus(wait.max(longer));
        Err(self.refused_until.since(now))
    }

    fn is_forgiven(&self, now: MonoMs) -> bool {
        now >= self.refused_until.plus(FORGIVEN)
    }

    fn is_as_new(&self, now: MonoMs) -> bool {
        self.bucket.is_whole(now) && (self.offences == 0 || self.is_forgiven(now))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let Some(address) = self.counted else { return };
        if let Some(account) = self.rations.lock().of.get_mut(&address) {
            account.connections = account.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const SECOND: u64 = 1000;

    fn rations(limits: Limits) -> Arc<Rations> {
        Arc::new(Rations::new(&limits))
    }

    fn who(n: u32) -> Option<Address> {
        Some(Address::of(IpAddr::V4(Ipv4Addr::from_bits(n))))
    }

    /// The wait in seconds, 0 when there is none.
    fn asks(rations: &Rations, who: Option<Address>, ration: Ration, at: u64) -> u64 {
        rations.take(who, ration, MonoMs(at * SECOND)).map_or_else(|wait| wait.as_secs(), |()| 0)
    }

    #[test]
    fn each_address_has_its_own_and_who_is_not_counted_needs_none() {
        let rations = rations(Limits::default());
        for _ in 0..5 {
            assert_eq!(asks(&rations, who(1), Ration::InviteMade, 0), 0);
        }
        assert_eq!(asks(&rations, who(1), Ration::InviteMade, 0), 12, "five a minute");
        assert_eq!(asks(&rations, who(2), Ration::InviteMade, 0), 0);
        assert_eq!(asks(&rations, who(1), Ration::InviteAsked, 0), 0);
        for _ in 0..1000 {
            assert_eq!(asks(&rations, None, Ration::InviteMade, 0), 0);
        }
        let off = self::rations(Limits { invites_per_minute: 0, ..Limits::default() });
        for _ in 0..1000 {
            assert_eq!(asks(&off, who(1), Ration::InviteMade, 0), 0);
        }
    }

    #[test]
    fn who_comes_again_too_soon_waits_twice_as_long_each_time_and_is_forgiven_after_an_hour() {
        let rations = rations(Limits::default());
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..12 {
            // As many as there are, and one more.
            let wait = loop {
                match asks(&rations, who(1), Ration::InviteMade, now) {
                    0 => {}
                    wait => break wait,
                }
            };
            assert_eq!(asks(&rations, who(1), Ration::InviteMade, now), wait, "asking again changes nothing");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [12, 24, 48, 96, 192, 384, 768, 1536, 3072, 3600, 3600, 3600]);
        now += 3600;
        for _ in 0..5 {
            assert_eq!(asks(&rations, who(1), Ration::InviteMade, now), 0);
        }
        assert_eq!(asks(&rations, who(1), Ration::InviteMade, now), 12);
    }

    #[test]
    fn what_is_given_back_was_not_used() {
        let rations = rations(Limits::default());
        for _ in 0..100 {
            assert_eq!(asks(&rations, who(1), Ration::InviteMissed, 0), 0);
            rations.give_back(who(1), Ration::InviteMissed);
        }
        for _ in 0..3 {
            assert_eq!(asks(&rations, who(1), Ration::InviteMissed, 0), 0);
        }
        assert_eq!(asks(&rations, who(1), Ration::InviteMissed, 0), 20);
    }

    #[test]
    fn connections_are_counted_while_they_last() {
        let rations = rations(Limits { connections_per_ip: 2, ..Limits::default() });
        let connect = |n| rations.connect(who(n), MonoMs(0));
        let first = connect(1).unwrap();
        let second = connect(1).unwrap();
        assert!(connect(1).is_none());
        assert!(connect(2).is_some());
        drop(first);
        let third = connect(1).unwrap();
        assert!(connect(1).is_none());
        drop((second, third));
        assert_eq!(rations.lock().of[&who(1).unwrap()].connections, 0);
    }

    #[test]
    fn addresses_that_have_everything_are_forgotten_and_there_is_room_for_so_many() {
        let rations = rations(Limits::default());
        let connected = rations.connect(who(0), MonoMs(0)).unwrap();
        let count = || rations.lock().of.len();
        for n in 1..MOST_ADDRESSES as u32 {
            assert_eq!(asks(&rations, who(n), Ration::Session, 0), 0);
        }
        assert_eq!(count(), MOST_ADDRESSES);
        assert_eq!(asks(&rations, who(u32::MAX), Ration::Session, 0), 0, "nobody is turned away");
        assert_eq!(count(), 2, "that one and the connected one");
        for n in 1..5000 {
            assert_eq!(asks(&rations, who(n), Ration::Session, 0), 0);
        }
        // Later all but the connected one have their whole allowance again.
        assert_eq!(asks(&rations, who(1), Ration::Session, 11), 0);
        assert_eq!(count(), 2);
        drop(connected);
    }
}
