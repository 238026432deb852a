//! Becoming a member, and letting others become one.

use std::collections::BTreeMap;
use std::time::Duration;

use sync_e2ee::{Control, DeviceName, EpochSecret, Invite, Kind, open_name};
use sync_types::limits::INVITE_LIFETIME;
use sync_types::wire::encode;
use sync_types::{DeviceId, InviteKey, KeyLog, Leave, LookupKey, Message, RelayKey, StoreId};

use super::Engine;
use super::request::Request;
use crate::api::{CommandId, Reply, SealedInvite};
use crate::error::EngineError;
use crate::rows::{GroupRow, Joined, PeerChain, PeerRow, Standing};

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
        let mut secrets = BTreeMap::new();
        secrets.insert(0, secret);
        self.enter(GroupRow { group_id, key_log, secrets, history_from: 0 })
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
            let row = PeerRow {
                name: entry.name,
                platform: entry.platform,
                standing: Standing::Member,
                chains: entry.tips.iter().map(PeerChain::up_to).collect(),
                ..PeerRow::default()
            };
            changes.push(row.change(&entry.device_id));
            self.state.peers.insert(entry.device_id, row);
        }
        self.state.progress.joined = invite.seen.map(|seen| Joined { seen, by: invite.created_by });
        changes.push(self.state.progress.change());
        self.store(changes);
        let mut secrets = invite.history;
        secrets.insert(invite.epoch, invite.secret);
        let history_from = secrets.keys().next().copied().unwrap_or(invite.epoch);
        let (group_id, key_log) = (invite.group_id, invite.key_log);
        self.enter(GroupRow { group_id, key_log, secrets, history_from })?;
        self.reply_when_stored(id, Reply::Done);
        Ok(())
    }

    /// Stores the group, and announces this device in it.
    fn enter(&mut self, group: GroupRow) -> Result<(), EngineError> {
        let change = group.change();
        self.state.group = Some(group);
        self.derive_keys();
        self.store([change]);
        self.enqueue(Kind::Control, self.announcement(), Some(0), None).map(|_| ())
    }

    fn announcement(&self) -> Vec<u8> {
        encode(&Control::Announce {
            name: self.state.device.name.clone(),
            platform: self.state.device.platform.clone(),
        })
    }

    /// Says once more that this device is a member: in a new epoch, and to a relay that has lost the log.
    pub(super) fn announce(&mut self) {
        // It fails only without a group.
        let _ = self.enqueue(Kind::Control, self.announcement(), Some(0), None);
    }

    /// Says to the others that this device goes; the relay hears of it when they can.
    pub(super) fn leave(&mut self, id: CommandId) {
        if !self.leave_said
            && let Err(error) = self.enqueue(Kind::Control, encode(&Control::Leave), Some(0), None)
        {
            return self.reply(id, Err(error));
        }
        self.leave_said = true;
        self.leaving = Some(id);
    }

    /// Everything was said: asks the relay to forget this device.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(id) = self.leaving.take_if(|_| self.outbox.len() == 0) {
            self.send_request(Message::Leave(Leave), Request::Leave { id });
        }
    }

    /// Everything that makes a device a member.
    pub(super) fn membership(&self) -> Result<Invite, EngineError> {
        let group = self.state.group.as_ref().ok_or(EngineError::NoGroup)?;
        let epoch = group.key_log.epoch();
        let readable = group.secrets.range(group.history_from..epoch);
        let mut history = BTreeMap::new();
        history.extend(readable.map(|(epoch, secret)| (*epoch, secret.clone())));
        Ok(Invite {
            relay: self.state.relay.url.clone().ok_or(EngineError::NoRelay)?,
            relay_key: self.state.relay.pin.ok_or(EngineError::NotConnected)?,
            group_id: group.group_id,
            key_log: group.key_log.clone(),
            epoch,
            secret: group.secrets.get(&epoch).ok_or(EngineError::NoGroup)?.clone(),
            history,
            roster: self.roster(|_| true),
            seen: self.seen(),
            created_by: self.me(),
            expires: self.now.unix.plus(INVITE_LIFETIME.saturating_sub(CLOCK_SLACK)),
        })
    }

    pub(super) fn derive_keys(&mut self) {
        let secrets = self.state.group.iter().flat_map(|group| &group.secrets);
        self.keys.clear();
        self.keys.extend(secrets.map(|(epoch, secret)| (*epoch, secret.keys())));
    }

    /// Seals an invite, unless it has to wait: it names the relay's key, so that must be known, and holds
    /// the group's newest secret. Makes a group if there is none.
    pub(super) fn serve_invite(&mut self, id: CommandId, lookup: &LookupKey, key: &InviteKey) -> bool {
        if self.ensure_group().is_ok() && (self.state.relay.pin.is_none() || self.is_catching_up()) {
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
        let invite = self.membership()?;
        let (expires, relay_key) = (invite.expires, invite.relay_key);
        let payload = invite.seal(lookup, key, &mut self.rng).map_err(|_| EngineError::InviteTooLarge)?;
        Ok(SealedInvite { payload, expires, relay: invite.relay, relay_key })
    }

    /// Accepts another relay key; what was known of the relay before counts no more.
    pub(super) fn trust_relay(&mut self, id: CommandId, key: RelayKey) {
        if self.state.relay.pin != Some(key) {
            self.repin(key);
            let change = self.state.relay.change();
            self.store([change]);
            if self.state.progress.store_id != StoreId::NONE {
                self.start_over(StoreId::NONE);
                self.relay_reset();
                self.store_progress();
            }
        }
        self.reply_when_stored(id, Reply::Done);
    }

    /// A device's name: as it lies at the relay, sealed in this epoch, else as the device has announced
    /// it. In an epoch that is over, whoever was removed could name others.
    pub(super) fn open_name(&self, device: &DeviceId, sealed: &[u8]) -> Option<DeviceName> {
        if *device == self.me() {
            return Some(self.state.device.name.clone());
        }
        let group = self.state.group.as_ref()?;
        let epoch = group.key_log.epoch();
        let opened = open_name(self.keys.get(&epoch)?, &group.group_id, epoch, device, sealed).ok();
        opened.or_else(|| self.state.peers.get(device)?.name.clone())
    }
}
