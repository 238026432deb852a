//! What is known of the other devices of the group, and of their chains.

use sync_e2ee::{DeviceName, Tip};
use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{BlobHash, ChainId, DeviceId, record};

use super::{Change, PEER, put};

/// Chains remembered of one peer: one more for each time that its state was restored.
const MAX_CHAINS: usize = 16;
/// Holes remembered of one chain until the end of the log has been reached.
const MAX_HOLES: usize = 16;

record! {
    /// Places of a chain that were passed over: from the first up to before the second.
    pub(crate) struct Hole {
        /// The first place that is missing.
        from: u64,
        /// The first place after it that is not.
        to: u64,
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
    /// The place after its newest blob that was read of what the inviter vouched for.
    pub(crate) history_next: u64,
    /// The generation of the log in which its end was seen; [`NEVER`](Self::NEVER) if that is only known
    /// from others.
    pub(crate) generation: u32,
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
            generation,
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

    pub(crate) fn add_hole(&mut self, from: u64, to: u64) {
        if from < to && self.holes.len() < MAX_HOLES {
            self.holes.push(Hole { from, to });
        }
    }

    /// Takes a place out of the holes; whether it was in one.
    pub(crate) fn fill(&mut self, seq: u64) -> bool {
        let Some(index) = self.holes.iter().position(|hole| (hole.from..hole.to).contains(&seq)) else {
            return false;
        };
        let hole = self.holes.remove(index);
        self.add_hole(hole.from, seq);
        self.add_hole(seq + 1, hole.to);
        true
    }
}

impl Wire for PeerChain {
    fn put(&self, w: &mut Writer) {
        w.array(7);
        self.chain_id.put(w);
        self.seen_next.put(w);
        self.hash.put(w);
        self.app_next.put(w);
        self.history_next.put(w);
        self.generation.put(w);
        put_list(&self.holes, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(7)?;
        Ok(Self {
            chain_id: ChainId::take(r)?,
            seen_next: u64::take(r)?,
            hash: BlobHash::take(r)?,
            app_next: u64::take(r)?,
            history_next: u64::take(r)?,
            generation: u32::take(r)?,
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
}

impl PeerRow {
    pub(crate) fn change(&self, device: &DeviceId) -> Change {
        put([&[PEER][..], device.as_bytes()].concat(), self)
    }

    /// A chain of this peer; a new one takes the place of the oldest past the bound.
    pub(crate) fn chain(&mut self, chain_id: ChainId, generation: u32) -> &mut PeerChain {
        let index = self.chains.iter().position(|chain| chain.chain_id == chain_id).unwrap_or_else(|| {
            if self.chains.len() >= MAX_CHAINS {
                self.chains.remove(0);
            }
            self.chains.push(PeerChain::new(chain_id, generation));
            self.chains.len() - 1
        });
        &mut self.chains[index]
    }
}

impl Wire for PeerRow {
    fn put(&self, w: &mut Writer) {
        w.array(4);
        self.name.put(w);
        self.platform.put(w);
        self.standing.put(w);
        put_list(&self.chains, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(4)?;
        Ok(Self {
            name: <Option<DeviceName> as Wire>::take(r)?,
            platform: String::take(r)?,
            standing: Standing::take(r)?,
            chains: take_list(r, MAX_CHAINS)?,
        })
    }
}
