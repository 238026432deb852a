//! Becoming a member, and letting others become one.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_e2ee::{Control, DeviceName, EpochSecret, Invite, Kind, RosterEntry, Tip, open_name};
use sync_types::limits::INVITE_LIFETIME;
use sync_types::wire::encode;
use sync_types::{DeviceId, InviteKey, KeyLog, LookupKey, RelayKey, StoreId};

use super::Engine;
use crate::api::{CommandId, Event, Reply, SealedInvite};
use crate::error::EngineError;
use crate::rows::{GroupRow, PeerRow};

/// An invite made here is offered for a little less than the relay allows: clocks differ.
const CLOCK_SLACK: Duration = Duration::from_secs(20);

impl Engine {
    /// Makes a group unless there is one.
    pub(super) fn ensure_group(&mut self) -> Result<(), EngineError> {
        if self.state.group.is_some() {
            return Ok(());
        }
        if self.state.relay.url.is_none() {
            return Err(EngineError::NoRelay);
        }
        let secret = EpochSecret::generate(&mut self.rng);
        let key_log = KeyLog::new(secret.keys().auth_key());
        let group_id = secret.keys().founds_group();
        self.enter(GroupRow { group_id, key_log, secrets: BTreeMap::from([(0, secret)]) })
    }

    /// Becomes a member of an invite's group.
    pub(super) fn join(&mut self, id: CommandId, invite: Invite) -> Result<(), EngineError> {
        if self.state.group.is_some() {
            return Err(EngineError::AlreadyInGroup);
        }
        self.state.relay.url = Some(invite.relay);
        self.repin(invite.relay_key);
        self.stopped = None;
        let me = self.me();
        let mut changes = vec![self.state.relay.change()];
        for entry in invite.roster.into_iter().filter(|entry| entry.device_id != me) {
            let row = PeerRow { name: entry.name, platform: entry.platform, chains: Vec::new() };
            changes.push(row.change(&entry.device_id));
            self.state.peers.insert(entry.device_id, row);
        }
        self.store(changes);
        let secrets = BTreeMap::from([(invite.epoch, invite.secret)]);
        self.enter(GroupRow { group_id: invite.group_id, key_log: invite.key_log, secrets })?;
        self.reply_when_stored(id, Reply::Done);
        Ok(())
    }

    /// Stores the group, and announces this device in it.
    fn enter(&mut self, group: GroupRow) -> Result<(), EngineError> {
        let change = group.change();
        self.state.group = Some(group);
        self.derive_keys();
        self.store([change]);
        let announce = Control::Announce {
            name: self.state.device.name.clone(),
            platform: self.state.device.platform.clone(),
        };
        self.enqueue(Kind::Control, encode(&announce), Some(0), None).map(|_| ())
    }

    pub(super) fn derive_keys(&mut self) {
        let secrets = self.state.group.iter().flat_map(|group| &group.secrets);
        self.keys = secrets.map(|(epoch, secret)| (*epoch, secret.keys())).collect();
    }

    /// Seals an invite, unless it has to wait: it names the relay's key, so that must be known. Makes
    /// a group if there is none.
    pub(super) fn serve_invite(&mut self, id: CommandId, lookup: &LookupKey, key: &InviteKey) -> bool {
        if self.ensure_group().is_ok() && self.state.relay.pin.is_none() {
            return false;
        }
        match self.seal_invite(lookup, key) {
            Ok(invite) => self.reply_when_stored(id, Reply::Invite(invite)),
            Err(error) => self.reply(id, Err(error)),
        }
        true
    }

    fn seal_invite(&mut self, lookup: &LookupKey, key: &InviteKey) -> Result<SealedInvite, EngineError> {
        self.ensure_group()?;
        let me = self.me();
        let group = self.state.group.as_ref().ok_or(EngineError::NoGroup)?;
        let epoch = group.key_log.epoch();
        let relay = self.state.relay.url.clone().ok_or(EngineError::NoRelay)?;
        let relay_key = self.state.relay.pin.ok_or(EngineError::NotConnected)?;
        let expires = self.now.unix.plus(INVITE_LIFETIME.saturating_sub(CLOCK_SLACK));
        let invite = Invite {
            relay: relay.clone(),
            relay_key,
            group_id: group.group_id,
            key_log: group.key_log.clone(),
            epoch,
            secret: group.secrets.get(&epoch).ok_or(EngineError::NoGroup)?.clone(),
            history: group.secrets.range(..epoch).map(|(epoch, secret)| (*epoch, secret.clone())).collect(),
            roster: self.roster(me),
            seen: self.seen(),
            created_by: me,
            expires,
        };
        let payload = invite.seal(lookup, key, &mut self.rng).map_err(|_| EngineError::InviteTooLarge)?;
        Ok(SealedInvite { payload, expires, relay, relay_key })
    }

    fn roster(&self, me: DeviceId) -> Vec<RosterEntry> {
        let chain = &self.state.chain;
        let own_tip =
            chain.next_seq.checked_sub(1).map(|seq| Tip { chain_id: chain.chain_id, seq, hash: chain.prev });
        let own = RosterEntry {
            device_id: me,
            name: Some(self.state.device.name.clone()),
            platform: self.state.device.platform.clone(),
            tips: own_tip.into_iter().collect(),
        };
        let peers = self.state.peers.iter().map(|(device_id, peer)| RosterEntry {
            device_id: *device_id,
            name: peer.name.clone(),
            platform: peer.platform.clone(),
            tips: peer
                .chains
                .iter()
                .filter_map(|chain| {
                    let seq = chain.seen_next.checked_sub(1)?;
                    Some(Tip { chain_id: chain.chain_id, seq, hash: chain.hash })
                })
                .collect(),
        });
        std::iter::once(own).chain(peers).collect()
    }

    /// Accepts another relay key; what was known of the relay before counts no more.
    pub(super) fn trust_relay(&mut self, id: CommandId, key: RelayKey) {
        if self.state.relay.pin != Some(key) {
            self.repin(key);
            let change = self.state.relay.change();
            self.store([change]);
            if self.state.progress.store_id != StoreId::NONE {
                self.start_over(StoreId::NONE);
                self.event(Event::RelayReset);
            }
        }
        self.reply_when_stored(id, Reply::Done);
    }

    /// A device's name: as the relay keeps it sealed, else as the device announced it.
    pub(super) fn open_name(&self, device: &DeviceId, sealed: &[u8]) -> Option<DeviceName> {
        let group = self.state.group.as_ref()?;
        let opened = sync_e2ee::blob::claimed_epoch(sealed)
            .ok()
            .and_then(|epoch| open_name(self.keys.get(&epoch)?, &group.group_id, epoch, device, sealed).ok());
        opened.or_else(|| self.state.peers.get(device)?.name.clone())
    }
}
