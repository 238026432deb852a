//! What is known of the other devices of the group, and of their chains.

use sync_e2ee::{DeviceName, Tip};
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{BlobHash, ChainId, DeviceId, record};

use super::{Change, PEER, put};

/// Chains remembered of one peer: one more for each time that its state was restored.
const MAX_CHAINS: usize = 16;
/// Chains remembered of one peer by their names alone.
const MAX_RETIRED: usize = 1_024;
/// Holes remembered of one chain until the end of the log has been reached.
pub(crate) const MAX_HOLES: usize = 16;

record! {
    /// Places of a chain that were passed over: from the first up to before the second.
    pub(crate) struct Hole {
        /// The first place that is missing.
        from: u64,
        /// The first place after it that is not.
        to: u64,
        /// The hash of the last one that is missing, where the one after it names it.
        last: Option<BlobHash>,
    }
}

/// One chain of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerChain {
    /// The chain.
    pub(crate) chain_id: ChainId,
    /// The place after its newest blob that was received, or that the inviter or a rotation vouched for.
    pub(crate) seen_next: u64,
    /// The hash of that blob.
    pub(crate) hash: BlobHash,
    /// The place after its newest blob that the app has.
    pub(crate) app_next: u64,
    /// The place after its newest blob that was read in this log: less than `seen_next` in what the
    /// inviter vouched for, and in what comes again after a reset.
    pub(crate) history_next: u64,
    /// The hash of that blob.
    pub(crate) history_hash: BlobHash,
    /// The earliest blob that the one after it does not name, though it should.
    pub(crate) contradicted: Option<u64>,
    /// The generation of the log in which its end was seen; [`NEVER`](Self::NEVER) if that is only known
    /// from others.
    pub(crate) generation: u32,
    /// Whether its sender has said that it sees this very store.
    pub(crate) here: bool,
    /// What is missing, as far as it has not been reported.
    pub(crate) holes: Vec<Hole>,
}

impl PeerChain {
    /// No generation of a log.
    pub(crate) const NEVER: u32 = u32::MAX;

    pub(crate) fn new(chain_id: ChainId, generation: u32) -> Self {
        Self {
            chain_id,
            seen_next: 0,
            hash: BlobHash([0; 32]),
            app_next: 0,
            history_next: 0,
            history_hash: BlobHash([0; 32]),
            contradicted: None,
            generation,
            here: false,
            holes: Vec::new(),
        }
    }

    /// A chain of which somebody who is believed holds blobs up to a tip.
    pub(crate) fn up_to(tip: &Tip) -> Self {
        let seen_next = tip.seq.saturating_add(1);
        Self { seen_next, hash: tip.hash, ..Self::new(tip.chain_id, Self::NEVER) }
    }

    /// Its newest blob.
    pub(crate) fn tip(&self) -> Option<Tip> {
        let seq = self.seen_next.checked_sub(1)?;
        Some(Tip { chain_id: self.chain_id, seq, hash: self.hash })
    }

    /// A blob was read in this log.
    pub(crate) fn read(&mut self, seq: u64, hash: BlobHash) {
        if seq >= self.history_next {
            (self.history_next, self.history_hash) = (seq.saturating_add(1), hash);
        }
    }

    /// Whether a blob names another one than was read in the place before it. Then that one, or this one,
    /// is somebody else's.
    pub(crate) fn contradicts(&mut self, seq: u64, prev: BlobHash) -> bool {
        let other = seq > 0 && seq == self.history_next && prev != self.history_hash;
        if other {
            self.contradicted = Some(self.contradicted.map_or(seq - 1, |earliest| earliest.min(seq - 1)));
        }
        other
    }

    pub(crate) fn add_hole(&mut self, from: u64, to: u64, last: Option<BlobHash>) {
        if from < to && self.holes.len() < MAX_HOLES {
            self.holes.push(Hole { from, to, last });
        }
    }

    /// A blob is at a place: `None` if that is in no hole; else whether it is the one that is named by the
    /// blob after it, and so takes its place out of the hole.
    pub(crate) fn fill(&mut self, seq: u64, link: BlobHash, prev: BlobHash) -> Option<bool> {
        let hole = self.holes.iter_mut().find(|hole| (hole.from..hole.to).contains(&seq))?;
        let named = seq + 1 == hole.to && hole.last == Some(link);
        if named {
            (hole.to, hole.last) = (seq, Some(prev));
        }
        self.holes.retain(|hole| hole.from < hole.to);
        Some(named)
    }
}

impl Wire for PeerChain {
    fn put(&self, w: &mut Writer) {
        w.array(10);
        self.chain_id.put(w);
        self.seen_next.put(w);
        self.hash.put(w);
        self.app_next.put(w);
        self.history_next.put(w);
        self.history_hash.put(w);
        self.contradicted.put(w);
        self.generation.put(w);
        self.here.put(w);
        put_list(&self.holes, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(10)?;
        Ok(Self {
            chain_id: ChainId::take(r)?,
            seen_next: u64::take(r)?,
            hash: BlobHash::take(r)?,
            app_next: u64::take(r)?,
            history_next: u64::take(r)?,
            history_hash: BlobHash::take(r)?,
            contradicted: <Option<u64> as Wire>::take(r)?,
            generation: u32::take(r)?,
            here: bool::take(r)?,
            holes: take_list(r, MAX_HOLES)?,
        })
    }
}

/// How a device stands to the group, as its members say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// Nobody has said anything.
    #[default]
    Unknown,
    /// In the roster.
    Member,
    /// It was a member in an epoch that is closed.
    Former,
    /// It has left.
    Left,
    /// A rotation has removed it.
    Removed,
}

impl Wire for Standing {
    fn put(&self, w: &mut Writer) {
        match self {
            Self::Unknown => 0_u8,
            Self::Member => 1,
            Self::Former => 2,
            Self::Left => 3,
            Self::Removed => 4,
        }
        .put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::take(r)? {
            0 => Ok(Self::Unknown),
            1 => Ok(Self::Member),
            2 => Ok(Self::Former),
            3 => Ok(Self::Left),
            4 => Ok(Self::Removed),
            _ => Err(DecodeError::OutOfRange),
        }
    }
}

/// Another device of the group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PeerRow {
    pub(crate) name: Option<DeviceName>,
    pub(crate) platform: String,
    pub(crate) standing: Standing,
    /// Newest last.
    pub(crate) chains: Vec<PeerChain>,
    /// Chains that are over, and of which no more is remembered: nothing of them is new.
    pub(crate) retired: Vec<ChainId>,
}

impl PeerRow {
    pub(crate) fn change(&self, device: &DeviceId) -> Change {
        put([&[PEER][..], device.as_bytes()].concat(), self)
    }

    /// A chain of this peer; a new one takes the place of the oldest past the bound.
    pub(crate) fn chain(&mut self, chain_id: ChainId, generation: u32) -> &mut PeerChain {
        let index = self.chains.iter().position(|chain| chain.chain_id == chain_id).unwrap_or_else(|| {
            if self.chains.len() >= MAX_CHAINS {
                self.retired.push(self.chains.remove(0).chain_id);
                if self.retired.len() > MAX_RETIRED {
                    self.retired.remove(0);
                }
            }
            self.chains.push(PeerChain::new(chain_id, generation));
            self.chains.len() - 1
        });
        &mut self.chains[index]
    }
}

impl Wire for PeerRow {
    fn put(&self, w: &mut Writer) {
        w.array(5);
        self.name.put(w);
        self.platform.put(w);
        self.standing.put(w);
        put_list(&self.chains, w);
        put_list(&self.retired, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(5)?;
        Ok(Self {
            name: <Option<DeviceName> as Wire>::take(r)?,
            platform: String::take(r)?,
            standing: Standing::take(r)?,
            chains: take_list(r, MAX_CHAINS)?,
            retired: take_list(r, MAX_RETIRED)?,
        })
    }
}
