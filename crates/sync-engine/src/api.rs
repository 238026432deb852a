//! What goes into an [`Engine`](crate::Engine) and what comes out of it.

use std::fmt;

use sync_e2ee::{DeviceName, Invite};
use sync_types::{
    BlobId, Cursor, DeviceId, Epoch, ErrorCode, GroupId, InviteKey, LookupKey, RelayKey, RelayUrl, UnixMs,
};
use zeroize::Zeroizing;

use crate::error::{EngineError, StopReason};
use crate::rows::Change;

/// Names a command, so that its reply finds whoever asked. Chosen by the driver, unique among those
/// not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// Names a set of changes that the driver is asked to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// What a driver tells the engine.
#[derive(Debug)]
pub enum Input {
    /// The WebSocket that [`Output::Connect`] asked for is open.
    Connected,
    /// A binary message arrived on it.
    Frame(Vec<u8>),
    /// It could not be opened, or it is closed; with the close code, if there was one.
    Closed(Option<u16>),
    /// These changes are durable: they survive a power cut.
    Stored(BatchId),
    /// The app wants something.
    Command(CommandId, Command),
    /// The network or the window came back: a good moment to try again.
    Woke,
    /// Nothing but time has passed: the moment that [`poll_timeout`](crate::Engine::poll_timeout)
    /// named is here.
    Tick,
}

/// What an app wants. Each is answered by exactly one [`Output::Reply`].
pub enum Command {
    /// Connect now and stay connected. Answered when this device is on-line, or the attempt has failed;
    /// others follow by themselves. A device without a group has nothing to connect for: answered at
    /// once, and it connects when it has one.
    Connect,
    /// Close the connection and stay away. Answered at once.
    Disconnect,
    /// Seal this and store it in the outbox; a group is made if there is none.
    /// Answered with [`Reply::Queued`] as soon as it is durable here.
    Push {
        /// The app's data.
        data: Zeroizing<Vec<u8>>,
        /// Seconds until the relay may drop it; `None`: the relay's default, 0: never.
        ttl: Option<u32>,
        /// For who may have to ask twice: the same token again, while the first push with it waits in
        /// the outbox, is the same push.
        token: Option<[u8; 16]>,
    },
    /// Answered with [`Reply::Done`] when the outbox is empty.
    Flush,
    /// The next page after what the app has, without own blobs. Answered with [`Reply::Page`].
    Read {
        /// How many blobs at most; 0: the default, 100.
        limit: u32,
        /// The end of the last page that really reached the app, which it durably has by now. A page
        /// that was given and is not named here, or acknowledged, is given again.
        has: Option<PageEnd>,
    },
    /// Any page, own blobs included. Moves nothing. Answered with [`Reply::Page`].
    Pull {
        /// Only blobs after this cursor.
        after: Cursor,
        /// How many blobs at most; 0: the default, 100.
        limit: u32,
    },
    /// The app durably has everything up to here. Answered when that is stored.
    Ack {
        /// A cursor of a page that was read.
        cursor: Cursor,
        /// The generation of that page: what was in another one counts for nothing now. `None` when
        /// that is not known; then only what this engine has given counts.
        generation: Option<u32>,
    },
    /// Who is in the group. Answered with [`Reply::Devices`].
    Devices,
    /// Seal an invite into this group; one is made if there is none. Needs the relay's key, so it
    /// waits for a first connection. Answered with [`Reply::Invite`].
    SealInvite {
        /// Under which name the invite will lie at the relay.
        lookup: LookupKey,
        /// What will open it.
        key: InviteKey,
    },
    /// Become a member. Fails when there is a group already. Answered when it is stored.
    Join(Box<Invite>),
    /// Accept another relay key from now on. Answered when it is stored.
    TrustRelay(RelayKey),
    /// Give the group a new key, and leave some devices without it. Answered with [`Reply::Done`] when
    /// this device has entered the new epoch. Devices that are removed already need no second rotation.
    Rotate {
        /// Whom to remove; nobody, if the key is only to be changed.
        remove: Vec<DeviceId>,
        /// Whether devices that join later may read what was pushed before.
        keep_history: bool,
    },
    /// Push again what the relay has lost of this device's, also when that was done a short while ago.
    Restore,
    /// Go for good: says so to the others and to the relay. Answered when the relay has done it; the
    /// store is of no use then.
    Leave,
    /// Erase the group at the relay, with everything in it.
    DeleteGroup,
    /// Everything that makes a device a member, for a recovery file. Answered with
    /// [`Reply::Membership`]; makes no group.
    Membership,
    /// An invite of this device's was taken: somebody should announce himself soon.
    InviteTaken,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "Connect",
            Self::Disconnect => "Disconnect",
            Self::Push { .. } => "Push",
            Self::Flush => "Flush",
            Self::Read { .. } => "Read",
            Self::Pull { .. } => "Pull",
            Self::Ack { .. } => "Ack",
            Self::Devices => "Devices",
            Self::SealInvite { .. } => "SealInvite",
            Self::Join(_) => "Join",
            Self::TrustRelay(_) => "TrustRelay",
            Self::Rotate { .. } => "Rotate",
            Self::Restore => "Restore",
            Self::Leave => "Leave",
            Self::DeleteGroup => "DeleteGroup",
            Self::Membership => "Membership",
            Self::InviteTaken => "InviteTaken",
        })
    }
}

/// What the engine wants from its driver.
#[derive(Debug)]
pub enum Output {
    /// Open a WebSocket to [`RelayUrl::websocket`] with the sub-protocol
    /// [`SUBPROTOCOL`](sync_types::limits::SUBPROTOCOL); answer [`Input::Connected`] or
    /// [`Input::Closed`]. Any older one is to be dropped, with nothing more heard of it.
    Connect(RelayUrl),
    /// Send this as one binary message.
    Send(Vec<u8>),
    /// Close the WebSocket, if there is one. No [`Input::Closed`] is expected for it.
    Disconnect,
    /// Make all of these changes durable, in one transaction and in the order of the batches; then
    /// answer [`Input::Stored`]. When that fails, drop the engine: it is ahead of its store.
    Store(BatchId, Vec<Change>),
    /// Something happened.
    Event(Event),
    /// The answer to a command.
    Reply(CommandId, Result<Reply, EngineError>),
}

/// The answer to a command.
#[derive(Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// The push is durable here and will reach the relay; [`Event::PushAcked`] says when it has.
    Queued(BlobId),
    /// A page of blobs.
    Page(Page),
    /// The group's devices, by device id.
    Devices(Vec<DeviceInfo>),
    /// An invite, sealed, to be left at the relay.
    Invite(SealedInvite),
    /// What makes a device a member.
    Membership(Box<Invite>),
}

/// Blobs of the group's log, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What the cursors belong to: how often the relay's log has started over for this device.
    pub generation: u32,
    /// The blobs of apps; control blobs are left out.
    pub blobs: Vec<Blob>,
    /// How far this page reaches, what was left out included: acknowledge this cursor.
    pub max_cursor: Cursor,
    /// Whether there is more after it.
    pub has_more: bool,
}

impl Page {
    /// What to name when the app has this page.
    pub fn end(&self) -> PageEnd {
        PageEnd { generation: self.generation, cursor: self.max_cursor }
    }
}

/// The end of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEnd {
    /// What its cursors belong to.
    pub generation: u32,
    /// How far the page reached.
    pub cursor: Cursor,
}

/// One opened blob.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its place in the log.
    pub cursor: Cursor,
    /// Its id.
    pub blob_id: BlobId,
    /// The device that pushed it.
    pub sender: DeviceId,
    /// When the relay stored it, by the relay's clock.
    pub timestamp: UnixMs,
    /// The app's data.
    pub data: Vec<u8>,
}

/// Shows the data's length only: contents do not belong in a log.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("cursor", &self.cursor)
            .field("blob_id", &self.blob_id)
            .field("sender", &self.sender)
            .field("data_len", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// One device of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The device.
    pub device_id: DeviceId,
    /// Its name, if any member has told it.
    pub name: Option<DeviceName>,
    /// What it runs on, if it has announced itself.
    pub platform: Option<String>,
    /// Up to here everything is durably its own, as the relay says.
    pub acked_cursor: Cursor,
    /// When the relay last heard of it, by the relay's clock; 0 if the relay does not know it.
    pub last_seen: UnixMs,
    /// Whether it is connected now, as the relay says.
    pub online: bool,
    /// Whether it is this one.
    pub this_device: bool,
    /// Whether it is in the group's own roster. A device that is not was let in by whoever had an invite
    /// and has not announced itself yet, or the relay has made it up.
    pub member: bool,
}

/// An invite as it is left at the relay.
#[derive(Debug, Clone)]
pub struct SealedInvite {
    /// Sealed for whoever has the code or the link.
    pub payload: Vec<u8>,
    /// When it ends.
    pub expires: UnixMs,
    /// Where it has to be left.
    pub relay: RelayUrl,
    /// The relay's key, for a QR that names it.
    pub relay_key: RelayKey,
}

/// Something that an app may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The relay let us in.
    Connected,
    /// The connection ended, or could not be made.
    Disconnected {
        /// Why no other attempt will be made; `None` when one will.
        stopped: Option<StopReason>,
    },
    /// Another device's blob is there to be read.
    BlobAvailable {
        /// Its place in the log.
        cursor: Cursor,
        /// Its id.
        blob_id: BlobId,
        /// Who pushed it.
        sender: DeviceId,
    },
    /// A push of this device is durable at the relay.
    PushAcked {
        /// Which.
        blob_id: BlobId,
        /// Its place in the log.
        cursor: Cursor,
    },
    /// The relay refuses a push for good. It was taken out of the outbox.
    PushRejected {
        /// Which.
        blob_id: BlobId,
        /// Why.
        code: ErrorCode,
    },
    /// Pushes wait because the relay is full: free some room, or raise its limits.
    RelayFull {
        /// Which limit.
        code: ErrorCode,
        /// What the relay says about it.
        message: String,
    },
    /// A device announced itself.
    DeviceJoined {
        /// Which.
        device_id: DeviceId,
        /// Its name.
        name: DeviceName,
        /// What it runs on.
        platform: String,
    },
    /// A device left the group, or was removed from it; this one, too.
    DeviceRemoved {
        /// Which.
        device_id: DeviceId,
        /// Who removed it; `None`: it left.
        by: Option<DeviceId>,
    },
    /// The group has a new key, and this device has it.
    KeyRotated {
        /// The new epoch.
        epoch: Epoch,
        /// Who made it.
        by: DeviceId,
    },
    /// A device is at the relay that no member has announced, for two minutes or more: somebody has used an
    /// invite without joining, or the relay has made it up. It can read nothing unless it has the
    /// group's secret; removing somebody, or rotating, settles that. Or a rotation has brought it in without a
    /// name: then it has the secret, and is to be removed.
    UnknownDevice {
        /// Which.
        device_id: DeviceId,
    },
    /// An invite of this device's was taken, and nobody has announced himself for two minutes: whoever has
    /// it knows the group's secret. Rotating shuts them out.
    InviteMisused,
    /// Another device came or went, as the relay says.
    PresenceChanged {
        /// Which.
        device_id: DeviceId,
        /// Whether it is there.
        online: bool,
    },
    /// The relay no longer holds everything: blobs up to this cursor expired before they were read.
    HistoryTruncated {
        /// The newest cursor that is known to be missing.
        up_to: Cursor,
    },
    /// The relay started over with another database: cursors start over, too. Nothing that was read
    /// is read again. What others may lack of this device's is pushed again.
    RelayReset,
    /// The relay started over for the second time within a day. Nothing is pushed until
    /// [`Command::Restore`] agrees to push again what others may lack: a relay must not be able to make
    /// devices send without end.
    RestoreWaits,
    /// A blob is not shown to the app.
    BlobRefused {
        /// Its place in the log.
        cursor: Cursor,
        /// Who pushed it, as the relay says.
        sender: DeviceId,
        /// Why.
        why: Refused,
    },
    /// A sender's blobs do not follow each other as that sender pushed them: the relay has dropped, changed,
    /// moved or repeated something, or that device's store was copied.
    ChainBroken {
        /// Whose.
        sender: DeviceId,
        /// Where in the log it was noticed.
        cursor: Cursor,
        /// What is wrong.
        how: Break,
    },
    /// Another device was shown another log than this one: proof that the relay lies to one of both.
    Forked {
        /// That device.
        witness: DeviceId,
        /// Up to here, by its word, both should have seen the same.
        cursor: Cursor,
    },
    /// What looks like a new key of the group's is none: nothing has changed.
    RotationRefused {
        /// Its place in the log.
        cursor: Cursor,
        /// Who pushed it, as the relay says.
        sender: DeviceId,
    },
    /// The relay says that the group has a newer key, and does not show it.
    RotationWithheld {
        /// The epoch that it claims.
        epoch: Epoch,
    },
    /// A push that waits has another id from now on: the relay holds something else under the old one, as
    /// after this device's store was restored from a backup.
    PushRenamed {
        /// Its id until now.
        from: BlobId,
        /// Its id from now on.
        to: BlobId,
    },
    /// The relay broke the protocol; the connection was closed and will be made anew.
    RelayMisbehaved,
}

/// Why a blob is not shown to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It does not open: no member sealed it for this place; someone changed it, or the relay moved it.
    Unreadable,
    /// No member has announced its sender.
    NotAMember,
    /// It was sealed in an epoch that is over, and is not among what counted when that was closed.
    AfterRemoval,
}

/// What is wrong with a sender's chain. Places count that sender's blobs from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Blobs are missing, though the relay had no reason to drop them.
    Missing {
        /// The first place that is missing.
        from: u64,
        /// The first place after it that is there.
        to: u64,
    },
    /// The blob at this place does not follow the one before, or is another than the one that counts.
    Altered {
        /// The place.
        seq: u64,
    },
    /// The blob at this place came after later ones.
    Reordered {
        /// The place.
        seq: u64,
    },
    /// The blob at this place came once more.
    Repeated {
        /// The place.
        seq: u64,
    },
}

/// What a device is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This device.
    pub device_id: DeviceId,
    /// Its name.
    pub name: DeviceName,
    /// Its group, if it has one.
    pub group_id: Option<GroupId>,
    /// Where its relay is, if one is set.
    pub relay: Option<RelayUrl>,
    /// The relay's key, once known.
    pub relay_key: Option<RelayKey>,
    /// Whether the relay has let us in.
    pub connected: bool,
    /// Why no connection will be tried, if so.
    pub stopped: Option<StopReason>,
    /// Up to here the app has everything.
    pub last_cursor: Cursor,
    /// The newest cursor heard of.
    pub max_cursor: Cursor,
    /// How many pushes wait in the outbox.
    pub pending_push: usize,
    /// Seconds that the relay keeps a blob for which nothing else is asked; 0: for ever. Once known.
    pub default_ttl: Option<u32>,
    /// The group's newest epoch that this device knows.
    pub epoch: Option<Epoch>,
    /// Twelve characters that are the same on two devices if both have the same newest key: whoever compares
    /// them knows that no removal was kept from either.
    pub fingerprint: Option<String>,
}
