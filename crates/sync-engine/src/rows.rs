//! What an engine keeps: rows of bytes under keys of bytes, in a store that its driver chooses.

mod log;
mod peer;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use litemap::LiteMap;
use sync_e2ee::{DeviceName, EpochSecret, MAX_TIPS, Seen, Tip};
use sync_types::wire::{DecodeError, Reader, Wire, Writer, decode, encode, put_list, take_list};
use sync_types::{
    AccessToken, BlobHash, BlobId, ChainId, Cursor, DeviceId, DeviceSecret, Epoch, GroupId, KeyLog, RelayKey,
    RelayUrl, StoreId, UnixMs, record,
};
use zeroize::Zeroizing;

use crate::error::StateError;
pub(crate) use log::*;
pub(crate) use peer::*;

/// One row to write, or to delete. Values hold secrets: a driver seals them.
#[derive(Clone)]
pub struct Change {
    /// Names the row. Its first byte is below 32; other keys are the driver's to use.
    pub key: Vec<u8>,
    /// The row's new value; `None` deletes it.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("row", &self.key.first())
            .field("len", &self.value.as_ref().map(|v| v.len()))
            .finish()
    }
}

const DEVICE: u8 = 1;
const RELAY: u8 = 2;
const GROUP: u8 = 3;
const PROGRESS: u8 = 4;
const CHAIN: u8 = 5;
const OUTBOX: u8 = 6;
const PEER: u8 = 7;
const CUT: u8 = 8;
const HEADS: u8 = 9;
const SENT: u8 = 10;
const ROTATION: u8 = 11;

const MAX_SECRETS: usize = sync_types::limits::MAX_KEY_LINKS + 1;

fn put<T: Wire>(key: Vec<u8>, row: &T) -> Change {
    let value = Zeroizing::new(encode(row));
    debug_assert!(decode::<T>(&value).is_ok(), "a row could not be read back: {key:?}");
    Change { key, value: Some(value) }
}

/// Who this device is.
#[derive(Debug)]
pub(crate) struct DeviceRow {
    pub(crate) secret: DeviceSecret,
    pub(crate) name: DeviceName,
    pub(crate) platform: String,
    pub(crate) access_token: Option<AccessToken>,
}

impl DeviceRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![DEVICE], self)
    }
}

impl Wire for DeviceRow {
    fn put(&self, w: &mut Writer) {
        w.array(4);
        w.bin(self.secret.expose_bytes());
        self.name.put(w);
        self.platform.put(w);
        self.access_token.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(4)?;
        Ok(Self {
            secret: DeviceSecret::from_bytes(<[u8; 32]>::take(r)?),
            name: DeviceName::take(r)?,
            platform: String::take(r)?,
            access_token: <Option<AccessToken> as Wire>::take(r)?,
        })
    }
}

/// Where the relay is, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct RelayRow {
    pub(crate) url: Option<RelayUrl>,
    pub(crate) pin: Option<RelayKey>,
    /// The highest protocol version that this relay has spoken.
    pub(crate) version_floor: u16,
    /// Seconds; known after the first WELCOME.
    pub(crate) default_ttl: Option<u32>,
    /// What the relay takes, in bytes, as far as it is believed.
    pub(crate) max_blob: u32,
    /// The most that any relay of this device took: what others may have stored.
    pub(crate) max_seen_blob: u32,
}

impl RelayRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![RELAY], self)
    }
}

impl Wire for RelayRow {
    fn put(&self, w: &mut Writer) {
        w.array(6);
        self.url.as_ref().map(|url| url.as_str().to_owned()).put(w);
        self.pin.put(w);
        self.version_floor.put(w);
        self.default_ttl.put(w);
        self.max_blob.put(w);
        self.max_seen_blob.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(6)?;
        let url = <Option<String> as Wire>::take(r)?;
        Ok(Self {
            url: url.map(|text| text.parse()).transpose().map_err(|_| DecodeError::OutOfRange)?,
            pin: <Option<RelayKey> as Wire>::take(r)?,
            version_floor: u16::take(r)?,
            default_ttl: <Option<u32> as Wire>::take(r)?,
            max_blob: u32::take(r)?,
            max_seen_blob: u32::take(r)?,
        })
    }
}

/// What makes this device a member.
#[derive(Debug)]
pub(crate) struct GroupRow {
    pub(crate) group_id: GroupId,
    pub(crate) key_log: KeyLog,
    /// The secrets of the epochs that this device can read, the newest among them.
    pub(crate) secrets: BTreeMap<Epoch, EpochSecret>,
    /// Secrets of epochs before this one are not handed to devices that join.
    pub(crate) history_from: Epoch,
}

impl GroupRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![GROUP], self)
    }

    /// The earliest epoch that this device can read.
    pub(crate) fn first_readable(&self) -> Epoch {
        self.secrets.keys().next().copied().unwrap_or(0)
    }
}

impl Wire for GroupRow {
    fn put(&self, w: &mut Writer) {
        w.array(4);
        self.group_id.put(w);
        self.key_log.put(w);
        w.array(self.secrets.len());
        for (epoch, secret) in &self.secrets {
            w.array(2);
            epoch.put(w);
            w.bin(secret.expose_bytes());
        }
        self.history_from.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(4)?;
        let (group_id, key_log) = (GroupId::take(r)?, KeyLog::take(r)?);
        let count = r.array_len()?;
        if count > MAX_SECRETS {
            return Err(DecodeError::TooLarge);
        }
        let mut secrets = BTreeMap::new();
        for _ in 0..count {
            r.array(2)?;
            secrets.insert(Epoch::take(r)?, EpochSecret::from_bytes(<[u8; 32]>::take(r)?));
        }
        Ok(Self { group_id, key_log, secrets, history_from: Epoch::take(r)? })
    }
}

record! {
    /// What an inviter had seen of the log.
    pub(crate) struct Joined {
        /// How far, and what.
        seen: Seen,
        /// The inviter.
        by: DeviceId,
    }
}

record! {
    /// How far this device is in the relay's log.
    pub(crate) struct ProgressRow {
        /// The store that the cursors belong to.
        store_id: StoreId,
        /// How often they started over. An old copy of a store has that store's id.
        generation: u32,
        /// Up to here the app durably has everything.
        app_cursor: Cursor,
        /// The blob at `app_cursor`, where known: shows that an old copy of the store came back.
        app_blob: Option<BlobId>,
        /// Up to here everything was received and checked.
        seen_cursor: Cursor,
        /// The head at `seen_cursor`; unknown after a gap in the log.
        head: Option<[u8; 32]>,
        /// How far the inviter had seen the log, until it starts over: what lies before was there before
        /// this device was.
        joined: Option<Joined>,
        /// Whether own blobs that the store lost are to be pushed again, once the log has been read.
        restore: Restore,
        /// When that was last begun; 0: never.
        restored_at: UnixMs,
        /// After this cursor the relay may have withheld a rotation, since this epoch was entered.
        passed: Option<Cursor>,
    }
}

impl ProgressRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![PROGRESS], self)
    }
}

/// What is to be done about own blobs that a relay has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restore {
    /// Nothing.
    No,
    /// They are pushed again when the log has been read to its end.
    Due,
    /// The same, as soon as the app agrees: it was done a short while ago already.
    Asks,
}

impl Wire for Restore {
    fn put(&self, w: &mut Writer) {
        match self {
            Self::No => 0_u8,
            Self::Due => 1,
            Self::Asks => 2,
        }
        .put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::take(r)? {
            0 => Ok(Self::No),
            1 => Ok(Self::Due),
            2 => Ok(Self::Asks),
            _ => Err(DecodeError::OutOfRange),
        }
    }
}

record! {
    /// The end of this device's own chain.
    pub(crate) struct ChainRow {
        /// The chain.
        chain_id: ChainId,
        /// The place of its next blob.
        next_seq: u64,
        /// The hash of its last blob.
        prev: BlobHash,
        /// Until when the relay keeps that.
        prev_expires: UnixMs,
        /// The second half of the next blob id.
        next_blob: u64,
        /// Its last blob that is in the log.
        logged: Option<Tip>,
        /// The same of the chains before it, as far as rosters speak of so many.
        older: Tips,
        /// The generation of the log that has `logged`.
        logged_in: u32,
    }
}

/// The ends of some chains, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tips(pub(crate) Vec<Tip>);

impl Wire for Tips {
    fn put(&self, w: &mut Writer) {
        put_list(&self.0, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(take_list(r, MAX_TIPS)?))
    }
}

impl ChainRow {
    pub(crate) fn change(&self) -> Change {
        put(vec![CHAIN], self)
    }

    /// A blob of one of this device's chains is in the log; whether that changes anything.
    pub(crate) fn log(&mut self, tip: &Tip, generation: u32) -> bool {
        if tip.chain_id == self.chain_id {
            let news = self.logged.as_ref().is_none_or(|known| known.seq <= tip.seq);
            if news {
                (self.logged, self.logged_in) = (Some(tip.clone()), generation);
            }
            return news;
        }
        let older = self.older.0.iter_mut().find(|known| known.chain_id == tip.chain_id);
        older.filter(|known| known.seq < tip.seq).map(|known| *known = tip.clone()).is_some()
    }

    /// What is in the log of all of this device's chains.
    pub(crate) fn tips(&self) -> Vec<Tip> {
        self.older.0.iter().chain(&self.logged).cloned().collect()
    }
}

record! {
    /// A sealed blob that the relay has not acknowledged.
    pub(crate) struct OutboxRow {
        /// Its id.
        blob_id: BlobId,
        /// The sealed bytes: every attempt sends the same.
        payload: Vec<u8>,
        /// As the app asked.
        ttl: Option<u32>,
        /// Its chain.
        chain_id: ChainId,
        /// Its place there.
        seq: u64,
        /// Whether it holds the place of another one that the relay refused.
        void: bool,
        /// By which the push is known again, if it is asked for twice.
        token: Option<[u8; 16]>,
        /// It was in a log that the relay has lost: it must come back as it was.
        fixed: bool,
    }
}

impl OutboxRow {
    pub(crate) fn change(&self, position: u64) -> Change {
        put(outbox_key(position), self)
    }

    pub(crate) fn delete(position: u64) -> Change {
        Change { key: outbox_key(position), value: None }
    }
}

fn outbox_key(position: u64) -> Vec<u8> {
    [&[OUTBOX][..], &position.to_be_bytes()].concat()
}

/// Everything that an engine keeps.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) device: DeviceRow,
    pub(crate) relay: RelayRow,
    pub(crate) group: Option<GroupRow>,
    pub(crate) progress: ProgressRow,
    pub(crate) chain: ChainRow,
    pub(crate) outbox: VecDeque<(u64, OutboxRow)>,
    pub(crate) sent: LiteMap<u64, SentRow>,
    pub(crate) peers: LiteMap<DeviceId, PeerRow>,
    /// Where closed epochs end.
    pub(crate) cuts: LiteMap<Epoch, CutRow>,
    pub(crate) heads: LiteMap<u64, HeadsRow>,
    pub(crate) rotation: Option<RotationRow>,
}

impl State {
    /// Reads a state from its rows, in any order.
    pub(crate) fn load(
        rows: impl IntoIterator<Item = (Vec<u8>, Zeroizing<Vec<u8>>)>,
    ) -> Result<Self, StateError> {
        let (mut device, mut relay, mut group, mut progress, mut chain) = (None, None, None, None, None);
        let mut outbox: LiteMap<_, _> = LiteMap::default();
        let (mut sent, mut peers) = (LiteMap::new(), LiteMap::new());
        let (mut cuts, mut heads, mut rotation) = (LiteMap::new(), LiteMap::new(), None);
        for (key, value) in rows {
            let (kind, rest) = key.split_first().ok_or(StateError::Malformed)?;
            match *kind {
                DEVICE => device = Some(row(&value)?),
                RELAY => relay = Some(row(&value)?),
                GROUP => group = Some(row(&value)?),
                PROGRESS => progress = Some(row(&value)?),
                CHAIN => chain = Some(row(&value)?),
                OUTBOX => drop(outbox.insert(number(rest)?, row(&value)?)),
                SENT => drop(sent.insert(number(rest)?, row(&value)?)),
                HEADS => drop(heads.insert(number(rest)?, row(&value)?)),
                CUT => {
                    let epoch = rest.try_into().map_err(|_| StateError::Malformed)?;
                    cuts.insert(Epoch::from_be_bytes(epoch), row(&value)?);
                }
                ROTATION => rotation = Some(row(&value)?),
                PEER => {
                    let id = DeviceId::from_slice(rest).ok_or(StateError::Malformed)?;
                    peers.insert(id, row(&value)?);
                }
                _ => return Err(StateError::Malformed),
            }
        }
        Ok(Self {
            device: device.ok_or(StateError::Incomplete)?,
            relay: relay.ok_or(StateError::Incomplete)?,
            group,
            progress: progress.ok_or(StateError::Incomplete)?,
            chain: chain.ok_or(StateError::Incomplete)?,
            outbox: outbox.into_iter().collect(),
            sent,
            peers,
            cuts,
            heads,
            rotation,
        })
    }
}

fn number(key: &[u8]) -> Result<u64, StateError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| StateError::Malformed)
}

fn row<T: Wire>(value: &[u8]) -> Result<T, StateError> {
    decode(value).map_err(|_| StateError::Malformed)
}
