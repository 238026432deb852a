//! New keys of the group: made here to remove somebody, or read in the log and verified as the relay did.
use sync_e2ee::{
    EpochSecret, RotationContent, RotationContext, Tip, open_lockbox, open_rotation, seal_rotation,
};
use sync_types::limits::MAX_KEY_LINKS;
use sync_types::{
    BlobHash, BlobId, Cursor, DeviceId, Epoch, ErrorCode, KeyLink, Message, Pull, PullResponse, Rotate,
    RotateAck, Rotation, StoredBlob,
};

use super::intake::{check_order, is_within};
use super::reader::Wanted;
use super::request::Request;
use super::{Engine, Then};
use crate::api::{Break, CommandId, Event, Reply};
use crate::error::{EngineError, StopReason};
use crate::rows::{ChainEnd, CutRow, PeerChain, RotationRow, Standing};
use crate::window::Window;

/// How often a rotation is tried anew when the log has grown meanwhile.
const MAX_TRIES: u32 = 100;

/// What the app wants of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) remove: Vec<DeviceId>,
    pub(super) keep_history: bool,
    pub(super) tries: u32,
}

/// A rotation that is under way.
#[derive(Debug)]
pub(super) struct Rotating {
    pub(super) id: CommandId,
    pub(super) blob_id: BlobId,
    /// The relay says that it is in the log.
    pub(super) acked: bool,
}

/// What a rotation in the log means to this device.
enum Verdict {
    /// It is of an epoch that was entered before; its content, if that can be read.
    Known(Epoch, Option<RotationContent>),
    /// The next epoch begins.
    Next(Box<(KeyLink, EpochSecret, RotationContent)>),
    /// The next epoch begins without this device.
    Without,
}

impl Engine {
    /// The group's newest epoch that this device knows.
    pub(super) fn epoch(&self) -> Epoch {
        self.state.group.as_ref().map_or(0, |group| group.key_log.epoch())
    }

    /// Whether there may be rotations that have not been read: until then nothing of a closed epoch can be
    /// told from what a removed device might have slipped in.
    pub(super) fn is_catching_up(&self) -> bool {
        let Some(group) = &self.state.group else {
            return false;
        };
        let current = group.key_log.epoch();
        let ends_unknown =
            || (group.first_readable()..current).any(|epoch| !self.state.cuts.contains_key(&epoch));
        self.relay_epoch > current || (!self.reached_end && ends_unknown())
    }

    /// A rotation is in the log.
    pub(super) fn rotated(&mut self, entry: &StoredBlob, payload: &[u8]) {
        match self.judge(entry, payload) {
            Some(Verdict::Known(_, None)) => {}
            Some(Verdict::Known(epoch, Some(content))) => self.learn_cut(epoch, entry, &content),
            Some(Verdict::Next(next)) => {
                let (link, secret, content) = *next;
                if entry.sender_id == self.me() {
                    let epoch = self.epoch() + 1;
                    let row = RotationRow { blob_id: entry.blob_id, epoch, payload: payload.to_vec() };
                    self.store([row.change()]);
                    self.state.rotation = Some(row);
                }
                self.enter_epoch(entry, link, secret, &content);
                self.take_up();
            }
            Some(Verdict::Without) => {
                self.event(Event::DeviceRemoved { device_id: self.me(), by: Some(entry.sender_id) });
                self.stop(StopReason::Removed);
            }
            None => {
                self.event(Event::RotationRefused { cursor: entry.cursor, sender: entry.sender_id });
            }
        }
    }

    /// A rotation may lie after this cursor, in what was read already.
    pub(super) fn may_have_passed(&mut self, after: Cursor) {
        self.state.progress.passed.get_or_insert(after);
    }

    /// Looks for a rotation that was not shown in its place; whether that is under way.
    pub(super) fn search_rotation(&mut self) -> bool {
        if let (Some(after), false) = (self.state.progress.passed, self.searched) {
            self.searched = true;
            self.search_after(after);
        }
        self.asked(|request| matches!(request, Request::Search { .. }))
    }

    fn search_after(&mut self, after: Cursor) {
        let pull = Message::Pull(Pull { after_cursor: after, limit: 0 });
        self.send_request(pull, Request::Search { after });
    }

    /// A page of what was read already. If it holds the next rotation now, all of it is read anew.
    pub(super) fn searched(&mut self, page: &PullResponse, after: Cursor) -> Result<(), EngineError> {
        check_order(page, after)?;
        let seen = self.state.progress.seen_cursor;
        let mut passed = page.blobs.iter().filter(|entry| entry.cursor <= seen);
        let found = passed.any(|entry| {
            let payload = entry.payload.as_deref().filter(|payload| Rotation::is_one(payload));
            let verdict = payload.and_then(|payload| self.judge(entry, payload));
            matches!(verdict, Some(Verdict::Next(_) | Verdict::Without))
        });
        if found {
            self.start_over(self.state.progress.store_id);
            self.event(Event::RelayReset);
            self.pull_due = true;
        } else if page.has_more && page.max_cursor < seen {
            self.search_after(page.max_cursor);
        }
        Ok(())
    }

    /// Verifies for itself what the relay should have verified.
    fn judge(&self, entry: &StoredBlob, payload: &[u8]) -> Option<Verdict> {
        let group = self.state.group.as_ref()?;
        let rotation = Rotation::decode(payload).ok()?;
        let (group_id, epoch) = (group.group_id, rotation.epoch);
        let (sender, blob_id) = (entry.sender_id, entry.blob_id);
        let context = RotationContext { group_id, epoch, sender, blob_id };
        let current = group.key_log.epoch();
        if epoch <= current {
            let link = group.key_log.links.get(epoch.checked_sub(1)? as usize)?;
            if *link != rotation.link(&sender, &blob_id) {
                return None;
            }
            let Some(secret) = group.secrets.get(&epoch) else {
                return Some(Verdict::Known(epoch, None));
            };
            return Some(Verdict::Known(epoch, Some(open_rotation(&rotation, &context, secret).ok()?)));
        }
        let full = group.key_log.links.len() >= MAX_KEY_LINKS;
        if epoch != current + 1 || full || self.standing(&sender) != Standing::Member {
            return None;
        }
        let link = rotation.verify(&group_id, group.key_log.key(current)?, &sender, &blob_id).ok()?;
        match open_lockbox(&rotation, &context, &self.state.device.secret).ok()? {
            Some(secret) => {
                let content = open_rotation(&rotation, &context, &secret).ok()?;
                Some(Verdict::Next(Box::new((link, secret, content))))
            }
            None => Some(Verdict::Without),
        }
    }

    fn enter_epoch(
        &mut self,
        entry: &StoredBlob,
        link: KeyLink,
        secret: EpochSecret,
        content: &RotationContent,
    ) {
        let by = entry.sender_id;
        let Some(group) = &mut self.state.group else {
            return;
        };
        group.key_log.links.push(link);
        let epoch = group.key_log.epoch();
        group.secrets.insert(epoch, secret);
        if !content.history {
            group.history_from = epoch;
        }
        let change = group.change();
        self.store([change]);
        self.derive_keys();

        let joined = self.update_roster(content, by);
        self.shut_out_strangers();
        let cut = cut_of(content);
        self.hold_to(&cut, entry);
        self.close_epoch(epoch, cut, content);
        self.event(Event::KeyRotated { epoch, by });
        joined.into_iter().for_each(|event| self.event(event));

        // What the window holds was opened before it was known what counts.
        self.window = Window::at(self.position());
        self.renew_session = true;
        self.outbox.reseal_due = true;
        self.announce_due = true;
        self.state.progress.passed = None;
        self.fix_what_counts();
        self.take_back_what_was_cut();
        if let Some(done) = self.rotating.take_if(|rotating| rotating.blob_id == entry.blob_id) {
            self.reply_when_stored(done.id, Reply::Done);
        }
    }

    /// Takes over the roster; gives what is to be said of those whom it brings in.
    fn update_roster(&mut self, content: &RotationContent, by: DeviceId) -> Vec<Event> {
        let me = self.me();
        // A roster ascends.
        let stays = |id: &DeviceId| content.roster.binary_search_by_key(id, |entry| entry.device_id).is_ok();
        let mut changes = Vec::new();
        let mut joined = Vec::new();
        for entry in content.roster.iter().filter(|entry| entry.device_id != me) {
            let peer = self.state.peers.entry(entry.device_id).or_default();
            let is_new = std::mem::replace(&mut peer.standing, Standing::Member) != Standing::Member;
            // Whoever was removed could have renamed others in the epoch that is over.
            if entry.name.is_some() {
                (peer.name, peer.platform) = (entry.name.clone(), entry.platform.clone());
            }
            // Whom the rotation brings in, nobody has heard announcing itself.
            let (device_id, platform) = (entry.device_id, peer.platform.clone());
            match peer.name.clone() {
                _ if !is_new => {}
                Some(name) => joined.push(Event::DeviceJoined { device_id, name, platform }),
                None => joined.push(Event::UnknownDevice { device_id }),
            }
            changes.push(peer.change(&entry.device_id));
        }
        let mut removed = Vec::new();
        for (device_id, peer) in &mut self.state.peers {
            let was = matches!(peer.standing, Standing::Member | Standing::Left);
            if was && !stays(device_id) {
                if peer.standing == Standing::Member {
                    removed.push(*device_id);
                }
                peer.standing = Standing::Removed;
                changes.push(peer.change(device_id));
            }
        }
        self.store(changes);
        for device_id in removed {
            self.event(Event::DeviceRemoved { device_id, by: Some(by) });
        }
        joined
    }

    /// A rotation from before this device was a member says where an epoch ended.
    fn learn_cut(&mut self, epoch: Epoch, entry: &StoredBlob, content: &RotationContent) {
        if self.state.cuts.contains_key(&(epoch - 1)) {
            return;
        }
        let cut = cut_of(content);
        if self.is_history(entry.cursor) {
            self.check_history(&cut, entry.cursor);
        }
        self.close_epoch(epoch, cut, content);
    }

    /// The epoch before `epoch` is over: from now on only what the rotation names counts of it.
    fn close_epoch(&mut self, epoch: Epoch, mut cut: CutRow, content: &RotationContent) {
        let mut changes = Vec::new();
        for (device_id, peer) in &mut self.state.peers {
            for chain in &mut peer.chains {
                let end = cut.end(device_id, &chain.chain_id);
                // Either the blob that is contradicted is forged, or the one that contradicts it.
                if let (Some(seq), Some(end)) = (chain.contradicted.take(), end) {
                    end.tip = Tip { seq: seq.min(end.tip.seq), hash: BlobHash([0; 32]), ..end.tip };
                }
            }
            changes.push(peer.change(device_id));
        }
        for gone in &content.removed {
            let peer = self.state.peers.entry(gone.device_id).or_default();
            if matches!(peer.standing, Standing::Unknown | Standing::Former) {
                peer.standing = Standing::Removed;
                changes.push(peer.change(&gone.device_id));
            }
        }
        changes.push(cut.change(epoch - 1));
        self.store(changes);
        self.state.cuts.insert(epoch - 1, cut);
    }

    /// Compares what was read of the time before this device was a member with where an epoch ended.
    fn check_history(&mut self, cut: &CutRow, cursor: Cursor) {
        let (mut broken, mut missing) = (Vec::new(), false);
        for (device_id, peer) in self.state.peers.iter().filter(|(device_id, _)| cut.names(device_id)) {
            for chain in peer.chains.iter().filter(|chain| chain.history_next > 0) {
                let tip = cut.tip(device_id, &chain.chain_id);
                let next = tip.map_or(0, |tip| tip.seq.saturating_add(1));
                missing |= chain.history_next < next;
                let other =
                    tip.is_some_and(|tip| chain.history_next == next && chain.history_hash != tip.hash);
                if chain.history_next > next || other {
                    let seq = if other { next - 1 } else { next };
                    broken.push((*device_id, Break::Altered { seq }));
                }
            }
        }
        if missing {
            self.truncated(cursor.prev());
        }
        for (sender, how) in broken {
            self.event(Event::ChainBroken { sender, cursor, how });
        }
    }

    /// Compares what was received with where the epoch ends.
    fn hold_to(&mut self, cut: &CutRow, entry: &StoredBlob) {
        let (me, generation) = (self.me(), self.state.progress.generation);
        let whole = self.state.progress.head.is_some();
        // After a reset, what the rotation knows of a chain may not have come back yet.
        let unseen = if generation > 1 { PeerChain::NEVER } else { generation };
        let (mut broken, mut changes) = (Vec::new(), Vec::new());
        // The ends of one device stand together.
        let mut devices: Vec<_> = cut.ends.iter().map(|end| end.device_id).filter(|id| *id != me).collect();
        devices.dedup();
        for device_id in devices {
            let peer = self.state.peers.entry(device_id).or_default();
            for end in cut.ends.iter().filter(|end| end.device_id == device_id) {
                let may_be_gone = !whole || self.stubs.has(&device_id, &end.tip.hash);
                let chain = peer.chain(end.tip.chain_id, unseen);
                let may_be_gone = may_be_gone || chain.generation != generation;
                broken.extend(end_chain(chain, &end.tip, may_be_gone).map(|how| (device_id, how)));
            }
            let before = peer.chains.len();
            peer.chains.retain(|chain| cut.tip(&device_id, &chain.chain_id).is_some());
            if peer.chains.len() < before {
                broken.push((device_id, Break::Altered { seq: 0 }));
            }
            changes.push(peer.change(&device_id));
            let holes = peer.chains.iter().map(|chain| chain.holes.len()).max().unwrap_or_default();
            self.note_holes(entry.cursor, holes);
        }
        let here = generation == self.state.chain.logged_in;
        for own in self.state.chain.tips().iter().filter(|_| here) {
            if cut.tip(&me, &own.chain_id).is_none_or(|tip| tip.seq < own.seq) {
                broken.push((me, Break::Missing { from: own.seq, to: own.seq.saturating_add(1) }));
            }
        }
        self.store(changes);
        for (sender, how) in broken {
            self.event(Event::ChainBroken { sender, cursor: entry.cursor, how });
        }
    }

    /// Makes a rotation for the app, unless that has to wait for the log; whether it is dealt with.
    pub(super) fn try_rotate(&mut self, id: CommandId, wish: &Wish) -> bool {
        let removed = |device: &DeviceId| self.standing(device) == Standing::Removed;
        if wish.remove.contains(&self.me()) {
            self.reply(id, Err(EngineError::RemovesItself));
            return true;
        }
        if !self.is_settled() {
            return false;
        }
        if !wish.remove.is_empty() && wish.remove.iter().all(removed) {
            self.reply_when_stored(id, Reply::Done);
            return true;
        }
        if let Some(nobody) = wish.remove.iter().find(|device| !self.has_heard_of(device)) {
            self.reply(id, Err(EngineError::NoSuchDevice(*nobody)));
            return true;
        }
        match self.seal_rotation(wish) {
            Some(rotate) => {
                // Its id must never be given out again, so it leaves when that is durable.
                self.rotating = Some(Rotating { id, blob_id: rotate.blob_id, acked: false });
                self.then(Then::Rotate(Box::new((id, wish.clone(), rotate))));
            }
            None => self.reply(id, Err(EngineError::NoGroup)),
        }
        true
    }

    /// Whether the outbox has to stand still for a rotation: not before the others know this device.
    pub(super) fn rotation_waits(&self) -> bool {
        let wanted = self.waiting.iter().any(|(_, wanted)| matches!(wanted, Wanted::Rotate(_)));
        self.rotating.is_some() || (wanted && self.state.chain.logged.is_some())
    }

    /// Nothing is under way that would make the log grow, and all of it was read.
    fn is_settled(&self) -> bool {
        let busy = self.asked(|r| matches!(r, Request::Push | Request::Sync { .. } | Request::Rotate { .. }));
        let read = self.state.progress.seen_cursor >= self.max_cursor && !self.pull_due;
        let known = self.state.chain.logged.is_some();
        known && !busy && read && !self.renew_session && self.rotating.is_none() && !self.is_catching_up()
    }

    /// A rotation may leave, if it is still wanted.
    pub(super) fn send_rotation(&mut self, id: CommandId, wish: Wish, rotate: Rotate) {
        let wanted = self.rotating.as_ref().is_some_and(|r| (r.id, r.blob_id) == (id, rotate.blob_id));
        if wanted {
            self.send_request(Message::Rotate(rotate), Request::Rotate { id, wish });
        }
    }

    fn seal_rotation(&mut self, wish: &Wish) -> Option<Rotate> {
        let blob_id = self.state.chain.take_blob_id();
        let change = self.state.chain.change();
        self.store([change]);
        let goes = |device: &DeviceId| wish.remove.contains(device);
        let roster = self.roster(|id| !goes(id));
        let removed = self
            .entries(|id, standing| standing == Standing::Left || (standing == Standing::Member && goes(id)));
        let content = RotationContent { roster, removed, history: wish.keep_history };
        let secret = EpochSecret::generate(&mut self.rng);
        let group = self.state.group.as_ref()?;
        let current = group.key_log.epoch();
        let context =
            RotationContext { group_id: group.group_id, epoch: current + 1, sender: self.me(), blob_id };
        let keys = self.keys.get(&current)?;
        let device = &self.state.device.secret;
        let rotation = seal_rotation(keys, device, &secret, &context, &content, &mut self.rng).ok()?;
        Some(Rotate { blob_id, after: self.state.progress.seen_cursor, payload: rotation.encode() })
    }

    /// ROTATE_ACK: the rotation is in the log, where it is read like anybody's.
    pub(super) fn rotate_acked(&mut self, ack: &RotateAck) -> Result<(), EngineError> {
        is_within(ack.cursor)?;
        if ack.epoch == 0 || ack.cursor < self.state.progress.seen_cursor {
            return Err(EngineError::RelayMisbehaved);
        }
        self.max_cursor = self.max_cursor.max(ack.cursor);
        if let Some(rotating) = &mut self.rotating {
            rotating.acked = true;
        }
        Ok(())
    }

    /// Whether the log was read to its end without the rotation that the relay has acknowledged.
    pub(super) fn rotation_is_lost(&self) -> bool {
        self.rotating.as_ref().is_some_and(|rotating| rotating.acked)
    }

    /// ERROR in answer to ROTATE.
    pub(super) fn rotate_refused(&mut self, id: CommandId, wish: Wish, code: Option<ErrorCode>) -> bool {
        self.rotating = None;
        let again = matches!(
            code,
            Some(ErrorCode::Behind | ErrorCode::EpochStale | ErrorCode::RateLimited | ErrorCode::Unavailable)
        );
        if !again || wish.tries >= MAX_TRIES {
            return false;
        }
        // Another device was faster: read what it said, then decide again.
        self.pull_due = true;
        self.waiting.push_back((id, Wanted::Rotate(Wish { tries: wish.tries + 1, ..wish })));
        true
    }
}

/// Where an epoch ends, as the rotation after it says.
fn cut_of(content: &RotationContent) -> CutRow {
    let devices = content.roster.iter().chain(&content.removed);
    let end = |device_id: DeviceId| move |tip: &Tip| ChainEnd { device_id, tip: tip.clone() };
    CutRow { ends: devices.flat_map(|device| device.tips.iter().map(end(device.device_id))).collect() }
}

/// Brings a chain to where its epoch ends; what is wrong, if anything.
fn end_chain(chain: &mut PeerChain, tip: &Tip, may_be_gone: bool) -> Option<Break> {
    let next = tip.seq.saturating_add(1);
    let how = if chain.seen_next == next {
        (chain.hash != tip.hash).then_some(Break::Altered { seq: tip.seq })
    } else if chain.seen_next > next {
        // Unless that was in a log that is gone, and had not come back when the epoch ended.
        (!may_be_gone).then_some(Break::Altered { seq: next })
    } else {
        if !may_be_gone {
            chain.add_hole(chain.seen_next, next, Some(tip.hash));
        }
        None
    };
    chain.seen_next = next;
    chain.hash = tip.hash;
    how
}
