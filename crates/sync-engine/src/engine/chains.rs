//! What a sender's blobs say of each other: each names the one before it, so that a relay cannot drop,
//! change, move or repeat one unnoticed.

use std::collections::VecDeque;
use std::slice::from_ref;
use std::time::Duration;

use litemap::LiteMap;
use sync_e2ee::chain::{self, Step, link_hash, step};
use sync_e2ee::{Content, Place};
use sync_types::{BlobHash, Cursor, DeviceId, Epoch, MonoMs, StoredBlob, UnixMs};

use super::Engine;
use crate::api::{Break, Event, Refused};
use crate::rows::{MAX_HOLES, PeerChain, Standing};

/// Clocks may differ by this much before an expired blob counts as withheld.
const CLOCK_SLACK: Duration = Duration::from_secs(3_600);
/// A blob that is missing may come after so many others, or so much later, unless the end of the log comes first.
const LATE_BLOBS: u64 = 1_000;
const LATE: Duration = Duration::from_secs(600);
/// Stubs remembered of each sender until its next blob comes.
const MAX_STUBS: usize = 256;

/// Hashes of blobs that have expired, by sender.
#[derive(Debug, Default)]
pub(super) struct Stubs(LiteMap<DeviceId, VecDeque<BlobHash>>);

impl Stubs {
    pub(super) fn saw(&mut self, sender: DeviceId, hash: BlobHash) {
        let hashes = self.0.entry(sender).or_default();
        hashes.push_back(hash);
        if hashes.len() > MAX_STUBS {
            hashes.pop_front();
        }
    }

    pub(super) fn has(&self, sender: &DeviceId, hash: &BlobHash) -> bool {
        self.0.get(sender).is_some_and(|hashes| hashes.contains(hash))
    }
}

/// What a blob turns out to be in its sender's chain.
struct Found {
    /// Whether the app may be given it.
    new: bool,
    broken: Option<Break>,
    /// Some before it are gone, as they may be.
    truncated: bool,
}

/// What is known when a blob is compared with its chain.
struct Facts {
    generation: u32,
    now: UnixMs,
    /// It lies in what the inviter had seen.
    history: bool,
    /// The inviter vouched for all of the sender's blobs there.
    vouched: bool,
    /// There are earlier epochs, which this device is not meant to read.
    locked: bool,
    /// The blob before it is known to have expired.
    stub: bool,
}

impl Engine {
    /// Whether a blob that opens may count at all.
    pub(super) fn allowed(
        &self,
        sender: &DeviceId,
        epoch: Epoch,
        place: &Place,
        link: &BlobHash,
        announces: bool,
    ) -> Result<(), Refused> {
        let old = epoch < self.epoch();
        if old && !self.counts(sender, epoch, place, link) {
            return Err(Refused::AfterRemoval);
        }
        match self.standing(sender) {
            Standing::Member => Ok(()),
            Standing::Removed if old => Ok(()),
            Standing::Removed => Err(Refused::AfterRemoval),
            Standing::Former | Standing::Left if old => Ok(()),
            // What it pushed before it left stays. What came afterwards has no place in its chain.
            Standing::Left if self.is_in_chain(sender, place) => Ok(()),
            Standing::Unknown | Standing::Former if announces => Ok(()),
            Standing::Unknown | Standing::Former | Standing::Left => Err(Refused::NotAMember),
        }
    }

    /// Whether a sender's chain, as it is known, reaches beyond a place.
    fn is_in_chain(&self, sender: &DeviceId, place: &Place) -> bool {
        let chains = self.state.peers.get(sender).into_iter().flat_map(|peer| &peer.chains);
        chains.into_iter().any(|chain| chain.chain_id == place.chain_id && place.seq < chain.seen_next)
    }

    /// Whether a blob of a closed epoch is among those that count. Before its end is known, that is open.
    fn counts(&self, sender: &DeviceId, epoch: Epoch, place: &Place, link: &BlobHash) -> bool {
        match self.state.cuts.get(&epoch) {
            Some(cut) => cut
                .tip(sender, &place.chain_id)
                .is_some_and(|tip| chain::counts(from_ref(tip), &place.chain_id, place.seq, link)),
            None => self.is_catching_up(),
        }
    }

    /// Whether a cursor is of the time before this device was a member, as its inviter knows that.
    pub(super) fn is_history(&self, cursor: Cursor) -> bool {
        self.state.progress.joined.as_ref().is_some_and(|joined| cursor <= joined.seen.cursor)
    }

    /// Compares a blob with what is known of its chain, and extends that; whether it is new to the app.
    pub(super) fn follow(&mut self, entry: &StoredBlob, content: &Content, hash: BlobHash) -> bool {
        let (sender, place) = (entry.sender_id, &content.place);
        let progress = &self.state.progress;
        let history = self.is_history(entry.cursor);
        let store_id = progress.store_id;
        let facts = Facts {
            generation: progress.generation,
            now: self.now.unix,
            history,
            vouched: history && self.standing(&sender) == Standing::Member,
            locked: self.state.group.as_ref().is_some_and(|group| group.first_readable() > 0),
            stub: self.stubs.has(&sender, &place.prev),
        };
        let given = self.delivered.before_reset(&sender, place);
        let peer = self.state.peers.entry(sender).or_default();
        if peer.retired.contains(&place.chain_id) {
            let how = Break::Repeated { seq: place.seq };
            self.event(Event::ChainBroken { sender, cursor: entry.cursor, how });
            self.hide(entry.cursor);
            return false;
        }
        let chain = peer.chain(place.chain_id, facts.generation);
        let found = compare(chain, place, link_hash(content, hash), &facts);
        let holes = chain.holes.len();
        chain.here |= place.seen.as_ref().is_some_and(|seen| seen.store_id == store_id);
        let change = peer.change(&sender);
        self.store([change]);
        if let Some(how) = found.broken {
            self.event(Event::ChainBroken { sender, cursor: entry.cursor, how });
            if !found.new {
                self.hide(entry.cursor);
            }
        }
        if found.truncated {
            self.truncated(entry.cursor.prev());
        }
        self.note_holes(entry.cursor, holes);
        found.new && !given
    }

    /// What has been missing since an earlier run is missing: how long ago that was, nobody knows.
    pub(super) fn report_earlier_holes(&mut self) {
        if self.holes_since.is_none() {
            self.report_holes();
        }
    }

    /// A chain has so many holes at a cursor.
    pub(super) fn note_holes(&mut self, cursor: Cursor, holes: usize) {
        if holes > 0 {
            let since = (cursor, self.now.mono);
            self.holes_since.get_or_insert(since);
        }
        if holes == MAX_HOLES {
            // No more can be remembered.
            self.report_holes();
        }
    }

    /// A relay may never let anybody see the end of the log: what has been missing for long is missing.
    pub(super) fn report_old_holes(&mut self) {
        let seen = self.state.progress.seen_cursor;
        let is_old = |(cursor, at): (Cursor, MonoMs)| {
            seen.get() >= cursor.get().saturating_add(LATE_BLOBS) || self.now.mono >= at.plus(LATE)
        };
        if self.holes_since.is_some_and(is_old) {
            self.report_holes();
        }
    }

    /// The log has been read to its end: what is missing now will not come.
    pub(super) fn report_holes(&mut self) {
        self.holes_since = None;
        let cursor = self.state.progress.seen_cursor;
        let mut events = Vec::new();
        let mut changes = Vec::new();
        for (sender, peer) in &mut self.state.peers {
            let before = events.len();
            for chain in &mut peer.chains {
                events.extend(chain.holes.drain(..).map(|hole| broken(*sender, cursor, hole.from, hole.to)));
            }
            if events.len() > before {
                changes.push(peer.change(sender));
            }
        }
        self.store(changes);
        events.into_iter().for_each(|event| self.event(event));
    }
}

fn broken(sender: DeviceId, cursor: Cursor, from: u64, to: u64) -> Event {
    Event::ChainBroken { sender, cursor, how: Break::Missing { from, to } }
}

/// Whether a promise to keep something is over; 0 is never.
pub(super) fn is_over(expires: UnixMs, now: UnixMs) -> bool {
    expires.0 != 0 && expires <= now.plus(CLOCK_SLACK)
}

fn compare(chain: &mut PeerChain, place: &Place, link: BlobHash, facts: &Facts) -> Found {
    let seq = place.seq;
    let to_app = seq >= chain.app_next;
    let mut found = Found { new: to_app, broken: None, truncated: false };
    // What came before the log started over comes again, and what others had seen comes first.
    let behind = facts.history || chain.generation != facts.generation;
    let filled = chain.fill(seq, link, place.prev);
    match step(chain.tip().as_ref(), place, &link) {
        // Late, and shown only if nobody can have put it in the place of another one.
        Step::Known | Step::Altered if filled.is_some() => {
            let new = found.new && filled == Some(true);
            return Found { new, broken: Some(Break::Reordered { seq }), ..found };
        }
        Step::Known => {
            if chain.tip().is_some_and(|tip| tip.seq == seq) {
                // From here on the chain is continued in this log.
                chain.generation = facts.generation;
            }
            if !behind || seq < chain.history_next {
                found = Found { new: false, broken: Some(Break::Repeated { seq }), ..found };
            } else if chain.contradicts(seq, place.prev) {
                found.broken = Some(Break::Altered { seq });
            } else if facts.history && seq > chain.history_next && !(facts.locked && chain.history_next == 0)
            {
                // Before this device was there, others may have had no more use for it.
                found.truncated = true;
            }
            chain.read(seq, link);
            return found;
        }
        // Another one in a place that is known, or past the end that the inviter knows of: no member has
        // put it there.
        Step::Altered if seq < chain.seen_next => {
            return Found { new: false, broken: Some(Break::Altered { seq }), ..found };
        }
        Step::Next | Step::Altered | Step::Gap if facts.vouched => {
            return Found { new: false, broken: Some(Break::Altered { seq }), ..found };
        }
        Step::Altered => {
            chain.contradicts(seq, place.prev);
            found.broken = Some(Break::Altered { seq });
        }
        Step::Next => {}
        Step::Gap => {
            let over = is_over(place.prev_expires, facts.now);
            if over && facts.stub {
                // The stub has been reported.
            } else if behind || over {
                found.truncated = true;
            } else if facts.stub {
                found.broken = Some(Break::Missing { from: seq - 1, to: seq });
                chain.add_hole(chain.seen_next, seq - 1, None);
            } else {
                chain.add_hole(chain.seen_next, seq, Some(place.prev));
            }
        }
    }
    if seq >= chain.seen_next {
        chain.seen_next = seq.saturating_add(1);
        chain.hash = link;
        chain.generation = facts.generation;
        chain.read(seq, link);
    }
    found
}

#[cfg(test)]
mod tests {
    use sync_types::ChainId;

    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000_000);

    fn facts() -> Facts {
        Facts { generation: 1, now: NOW, history: false, vouched: false, locked: false, stub: false }
    }

    fn place(seq: u64, prev: u8) -> Place {
        let prev = BlobHash([prev; 32]);
        Place { seq, prev, prev_expires: UnixMs(NOW.0 * 2), ..Place::first(ChainId([1; 16])) }
    }

    fn hash(n: u8) -> BlobHash {
        BlobHash([n; 32])
    }

    fn hole(from: u64, to: u64, last: Option<u8>) -> crate::rows::Hole {
        crate::rows::Hole { from, to, last: last.map(hash) }
    }

    /// A chain of which the blobs 0 to 2 came, with the hashes 10 to 12.
    fn three() -> PeerChain {
        let mut chain = PeerChain::new(ChainId([1; 16]), 1);
        for seq in 0..3 {
            let found = compare(
                &mut chain,
                &place(seq, if seq == 0 { 0 } else { 9 + seq as u8 }),
                hash(10 + seq as u8),
                &facts(),
            );
            assert!(found.new && found.broken.is_none() && !found.truncated);
        }
        chain
    }

    fn look(chain: &mut PeerChain, place: &Place, link: u8, facts: &Facts) -> (bool, Option<Break>, bool) {
        let found = compare(chain, place, hash(link), facts);
        (found.new, found.broken, found.truncated)
    }

    #[test]
    fn the_next_blob_must_name_the_one_before() {
        assert_eq!(look(&mut three(), &place(3, 12), 13, &facts()), (true, None, false));
        let altered = Some(Break::Altered { seq: 3 });
        assert_eq!(look(&mut three(), &place(3, 99), 13, &facts()), (true, altered, false));
    }

    #[test]
    fn a_gap_is_a_hole_that_a_late_blob_fills_out_of_order() {
        let mut chain = three();
        assert_eq!(look(&mut chain, &place(5, 14), 15, &facts()), (true, None, false));
        assert_eq!(chain.holes, [hole(3, 5, Some(14))]);
        let reordered = Some(Break::Reordered { seq: 4 });
        assert_eq!(look(&mut chain, &place(4, 13), 14, &facts()), (true, reordered, false));
        assert_eq!(chain.holes, [hole(3, 4, Some(13))]);
        let reordered = Some(Break::Reordered { seq: 3 });
        assert_eq!(look(&mut chain, &place(3, 12), 13, &facts()), (true, reordered, false));
        assert!(chain.holes.is_empty());
    }

    #[test]
    fn a_late_blob_that_nothing_vouches_for_stays_outside() {
        let mut chain = three();
        look(&mut chain, &place(5, 14), 15, &facts());
        for (seq, link) in [(4, 66), (3, 13)] {
            let late = Some(Break::Reordered { seq });
            assert_eq!(look(&mut chain, &place(seq, 13), link, &facts()), (false, late, false));
        }
        assert_eq!(chain.holes, [hole(3, 5, Some(14))]);
    }

    #[test]
    fn what_may_have_expired_is_truncated_and_what_may_not_is_missing() {
        let expired = Place { prev_expires: UnixMs(NOW.0 - 1), ..place(5, 14) };
        let mut chain = three();
        assert_eq!(look(&mut chain, &expired, 15, &facts()), (true, None, true));
        assert!(chain.holes.is_empty());
        let stub = Facts { stub: true, ..facts() };
        // A stub has been reported when it came.
        assert_eq!(look(&mut three(), &expired, 15, &stub), (true, None, false));
        let withheld = Some(Break::Missing { from: 4, to: 5 });
        let mut chain = three();
        assert_eq!(look(&mut chain, &place(5, 14), 15, &stub), (true, withheld, false));
        assert_eq!(chain.holes, [hole(3, 4, None)]);
    }

    #[test]
    fn a_blob_again_is_repeated_and_another_in_its_place_altered() {
        let again = Some(Break::Repeated { seq: 2 });
        assert_eq!(look(&mut three(), &place(2, 11), 12, &facts()), (false, again, false));
        let altered = Some(Break::Altered { seq: 2 });
        assert_eq!(look(&mut three(), &place(2, 11), 77, &facts()), (false, altered, false));
    }

    #[test]
    fn after_a_reset_what_is_known_comes_again_once_without_a_word() {
        let mut chain = three();
        chain.app_next = 2;
        // A log that starts over makes every chain start over.
        chain.history_next = 0;
        let reset = Facts { generation: 2, ..facts() };
        assert_eq!(look(&mut chain, &place(1, 10), 11, &reset), (false, None, false));
        assert_eq!(look(&mut chain, &place(2, 11), 12, &reset), (true, None, false));
        let again = Some(Break::Repeated { seq: 2 });
        assert_eq!(look(&mut chain, &place(2, 11), 12, &reset), (false, again, false));
        // Its end has come again: from here on gaps count.
        assert_eq!(look(&mut chain, &place(4, 13), 14, &reset), (true, None, false));
        assert_eq!(chain.holes.len(), 1);
    }

    #[test]
    fn what_a_store_has_lost_for_good_is_no_crime_of_the_relay() {
        let reset = Facts { generation: 2, ..facts() };
        let mut chain = three();
        assert_eq!(look(&mut chain, &place(9, 18), 19, &reset), (true, None, true));
        assert_eq!(look(&mut chain, &place(12, 21), 22, &reset), (true, None, false));
        assert_eq!(chain.holes.len(), 1, "what is missing now was not lost then");
    }

    #[test]
    fn what_the_inviter_vouched_for_is_read_once_and_its_end_is_checked() {
        let tip = sync_e2ee::Tip { chain_id: ChainId([1; 16]), seq: 2, hash: hash(12) };
        let history = Facts { history: true, vouched: true, ..facts() };
        let mut chain = PeerChain::up_to(&tip);
        assert_eq!(
            look(&mut chain, &place(3, 12), 13, &history),
            (false, Some(Break::Altered { seq: 3 }), false)
        );
        assert_eq!(look(&mut chain, &place(1, 10), 11, &history), (true, None, true), "0 is missing");
        assert_eq!(look(&mut chain, &place(1, 10), 11, &history).1, Some(Break::Repeated { seq: 1 }));
        assert_eq!(look(&mut chain, &place(2, 11), 99, &history).1, Some(Break::Altered { seq: 2 }));
        assert_eq!(look(&mut chain, &place(3, 12), 13, &facts()), (true, None, false));
    }

    #[test]
    fn what_the_next_blob_does_not_name_is_contradicted() {
        let tip = sync_e2ee::Tip { chain_id: ChainId([1; 16]), seq: 3, hash: hash(13) };
        let history = Facts { history: true, vouched: true, ..facts() };
        let mut chain = PeerChain::up_to(&tip);
        assert_eq!(look(&mut chain, &place(0, 0), 10, &history), (true, None, false));
        assert_eq!(look(&mut chain, &place(1, 10), 66, &history), (true, None, false));
        let altered = Some(Break::Altered { seq: 2 });
        assert_eq!(look(&mut chain, &place(2, 11), 12, &history), (true, altered, false));
        assert_eq!(chain.contradicted, Some(1));
        assert_eq!(look(&mut chain, &place(3, 12), 13, &history), (true, None, false));
    }

    #[test]
    fn who_is_not_meant_to_read_the_beginning_does_not_miss_it() {
        let tip = sync_e2ee::Tip { chain_id: ChainId([1; 16]), seq: 5, hash: hash(15) };
        let locked = Facts { history: true, vouched: true, locked: true, ..facts() };
        let mut chain = PeerChain::up_to(&tip);
        assert_eq!(look(&mut chain, &place(3, 12), 13, &locked), (true, None, false));
        assert_eq!(look(&mut chain, &place(5, 14), 15, &locked), (true, None, true));
    }
}
