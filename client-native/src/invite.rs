//! Pairing: making an invite, taking it back, and becoming a member by one.

mod watch;

use std::fmt;
use std::time::Duration;

use sync_e2ee::{Invite, derive_code};
use sync_engine::{Change, Reply, SealedInvite};
use sync_types::wire::{decode, encode};
use sync_types::{
    InviteCode, InviteKey, InviteTarget, InviteTextError, JoinLink, LookupKey, RelayKey, RelayUrl, UnixMs,
    record,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::clock::rng;
use crate::http::{self, Left};
use crate::request::{Ask, Request};
use crate::{Error, SyncClient};

/// Key of the row that says how to revoke the last invite.
const LAST_INVITE: &[u8] = &[0x80];
/// How far another device's clock may be off.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

record! {
    /// What it takes to revoke an invite, also from another process.
    struct Revocation {
        /// Where it lies.
        relay: String,
        /// Under which name.
        lookup: String,
        /// What shows that it is ours.
        token: String,
    }
}

/// An invite that lies at the relay: for one device, for ten minutes. [`code`](Self::code),
/// [`link`](Self::link) and [`app_url`](Self::app_url) are three forms of the same; each of them makes
/// whoever has it a member, so show it to nobody else.
pub struct InviteHandle {
    code: InviteCode,
    target: InviteTarget,
    revocation: Revocation,
    expires_at: UnixMs,
}

impl InviteHandle {
    /// The code to type: `K7QM-2XRT-9F3H-W8ND`.
    pub fn code(&self) -> String {
        self.code.expose_text()
    }

    /// The link to press, or to show as a QR.
    pub fn link(&self) -> String {
        let InviteTarget { relay, lookup, key, .. } = &self.target;
        let link = JoinLink { page: relay.clone(), relay: relay.clone(), lookup: *lookup, key: key.clone() };
        link.expose_text()
    }

    /// The link to a page of your own at `PAGE/join`, instead of the relay's: it names the relay behind the key.
    ///
    /// # Errors
    /// [`Error::RelayUrl`]: this is no address of a page.
    pub fn link_to(&self, page: &str) -> Result<String, Error> {
        let InviteTarget { relay, lookup, key, .. } = &self.target;
        let link = JoinLink { page: page.parse()?, relay: relay.clone(), lookup: *lookup, key: key.clone() };
        Ok(link.expose_text())
    }

    /// The URL for a QR that an app with a URL scheme of its own reads: `SCHEME://sync?invite=…`.
    pub fn app_url(&self, scheme: &str) -> String {
        self.target.expose_app_url(scheme)
    }

    /// When it ends, if nobody uses it first.
    pub fn expires_at(&self) -> UnixMs {
        self.expires_at
    }
}

/// Shows nothing that opens the invite.
impl fmt::Debug for InviteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteHandle").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl SyncClient {
    /// Makes an invite into this device's group, and the group if there is none. It works once, for ten
    /// minutes; [`Event::DeviceJoined`](crate::Event::DeviceJoined) says that somebody came. As long as this
    /// client lives it looks every ten seconds whether the invite was taken, and when nobody comes then:
    /// [`Event::InviteMisused`](crate::Event::InviteMisused). Takes about 0.2 s and 64 MiB, on a thread of
    /// its own. [`connect`](Self::connect) first.
    pub async fn create_invite(&self) -> Result<InviteHandle, Error> {
        let code = InviteCode::generate(&mut rng()?);
        let (lookup, key) = derive(code.clone()).await?;
        let sealed = self.seal_invite(lookup, key.clone()).await?;
        let SealedInvite { payload, expires, relay, relay_key } = sealed;
        let Left { revoke_token, expires_at } =
            http::leave_invite(&relay, &lookup, &payload, expires).await?;
        let revocation =
            Revocation { relay: relay.as_str().to_owned(), lookup: lookup.to_string(), token: revoke_token };
        self.remember(Some(&revocation)).await?;
        let left = http::Place { relay: relay.clone(), lookup, revoke_token: revocation.token.clone() };
        watch::spawn(self, left, expires_at, watch::PAUSE);
        // The relay may be reached from here under an address that means nothing elsewhere.
        let relay = http::public_url(&relay).await;
        let target = InviteTarget { relay, relay_key, lookup, key };
        Ok(InviteHandle { code, target, revocation, expires_at })
    }

    /// Takes an invite back that nobody has used.
    ///
    /// # Errors
    /// [`Error::InviteUsed`] when somebody has joined by it; [`Error::InviteNotFound`] when it has expired.
    pub async fn revoke_invite(&self, invite: &InviteHandle) -> Result<(), Error> {
        self.revoke(&invite.revocation).await
    }

    /// Takes the last invite of this device back, also one that another process made.
    ///
    /// # Errors
    /// [`Error::NothingToRevoke`] when there is none; otherwise as
    /// [`revoke_invite`](Self::revoke_invite).
    pub async fn revoke_last_invite(&self) -> Result<(), Error> {
        let (answer, row) = oneshot::channel();
        self.send(Request::Recall(LAST_INVITE.to_vec(), answer))?;
        let row = row.await.map_err(|_| Error::Closed)?.ok_or(Error::NothingToRevoke)?;
        let revocation: Revocation = decode(&row).map_err(|_| Error::NothingToRevoke)?;
        self.revoke(&revocation).await
    }

    /// Becomes a member by an invite: its code as typed, its link, or an app's URL. A code says nothing
    /// about where it lies, so the relay must be known then. Takes about 0.2 s and 64 MiB for a code.
    /// Does not connect, but a client that was told to goes on by itself.
    ///
    /// # Errors
    /// [`Error::AlreadyInGroup`] and [`Error::InviteText`] before the invite is used up;
    /// [`Error::InviteNotFound`] for one that is mistyped, used, revoked or expired;
    /// [`Error::InviteExpired`] for one that the relay gave away and that is over by this device's clock.
    pub async fn join(&self, invite: &str) -> Result<(), Error> {
        if self.status().group_id.is_some() {
            return Err(Error::AlreadyInGroup);
        }
        let found = self.read(invite).await?;
        let sealed = http::claim_invite(&found.relay, &found.lookup).await?;
        let mut invite =
            Invite::open(&found.lookup, &found.key, &sealed).map_err(|_| Error::InviteDamaged)?;
        if self.clock().unix() > invite.expires.plus(CLOCK_TOLERANCE) {
            return Err(Error::InviteExpired);
        }
        if let Some(expected) = found.relay_key.filter(|key| *key != invite.relay_key) {
            return Err(Error::RelayKeyChanged { expected, found: invite.relay_key });
        }
        if http::is_loopback(&invite.relay) {
            // The inviter's own machine. Where the invite lay works from here; its key says who it is.
            invite.relay = found.relay;
        }
        self.done(Ask::Join(Box::new(invite))).await
    }

    /// Where the invite of a text lies, and what opens it.
    async fn read(&self, text: &str) -> Result<Found, Error> {
        let text = text.trim();
        if text.contains("://sync?invite=") {
            let InviteTarget { relay, relay_key, lookup, key } = InviteTarget::from_app_url(text)?;
            return Ok(Found { relay, relay_key: Some(relay_key), lookup, key });
        }
        if text.contains("://") || text.contains('#') {
            let JoinLink { relay, lookup, key, page: _ } = text.parse()?;
            let relay_key = self.pinned(&relay);
            return Ok(Found { relay, relay_key, lookup, key });
        }
        let code: InviteCode = text.parse().map_err(|error: InviteTextError| error)?;
        let stored = self.status().relay;
        let configured = self.configured_relay().map(|address| address.url.clone());
        let relay = stored.or(configured).ok_or(Error::NoRelay)?;
        let (lookup, key) = derive(code).await?;
        let relay_key = self.pinned(&relay);
        Ok(Found { relay, relay_key, lookup, key })
    }

    /// The key that is expected of this relay, if any.
    fn pinned(&self, relay: &RelayUrl) -> Option<RelayKey> {
        let status = self.status();
        let stored = status.relay_key.filter(|_| status.relay.as_ref() == Some(relay));
        let configured = self.configured_relay().filter(|address| address.url == *relay);
        stored.or_else(|| configured?.key)
    }

    async fn seal_invite(&self, lookup: LookupKey, key: InviteKey) -> Result<SealedInvite, Error> {
        match self.ask(Ask::SealInvite { lookup, key }).await? {
            Reply::Invite(sealed) => Ok(sealed),
            Reply::Done | Reply::Queued(_) | Reply::Page(_) | Reply::Devices(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), Error> {
        let relay: RelayUrl = revocation.relay.parse()?;
        let revoked = http::revoke_invite(&relay, &revocation.lookup, &revocation.token).await;
        if matches!(revoked, Ok(()) | Err(Error::InviteNotFound | Error::InviteUsed)) {
            self.remember(None).await?;
        }
        revoked
    }

    async fn remember(&self, revocation: Option<&Revocation>) -> Result<(), Error> {
        let value = revocation.map(|row| Zeroizing::new(encode(row)));
        let (answer, stored) = oneshot::channel();
        self.send(Request::Remember(Change { key: LAST_INVITE.to_vec(), value }, answer))?;
        stored.await.map_err(|_| Error::Closed)
    }
}

struct Found {
    relay: RelayUrl,
    relay_key: Option<RelayKey>,
    lookup: LookupKey,
    key: InviteKey,
}

/// Derives a code's keys on a thread that may be busy for a while.
async fn derive(code: InviteCode) -> Result<(LookupKey, InviteKey), Error> {
    tokio::task::spawn_blocking(move || derive_code(&code))
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or(Error::Machine("the code's keys cannot be derived: 64 MiB of memory are needed"))
}
