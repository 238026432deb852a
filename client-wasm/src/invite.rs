//! Pairing: making an invite, taking it back, and becoming a member by one.

mod watch;

use std::time::Duration;

use futures_channel::oneshot;
use sync_e2ee::Invite;
use sync_engine::{Change, Command, Reply, SealedInvite};
use sync_types::wire::{decode, encode};
use sync_types::{
    InviteCode, InviteKey, InviteTarget, JoinLink, LookupKey, RelayAddress, RelayKey, RelayUrl, UnixMs,
    record,
};
use wasm_bindgen::JsValue;
use zeroize::Zeroizing;

use crate::browser::{get, object};
use crate::clock::{rng, unix_now};
use crate::derive::in_worker;
use crate::http::{self, Left};
use crate::request::Message;
use crate::{Device, Error};

/// Key of the row that says how to revoke the last invite.
const LAST_INVITE: &[u8] = &[0x80];
/// How far another device's clock may be off.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

record! {
    /// What it takes to revoke an invite, also from another tab, or later.
    pub(crate) struct Revocation {
        /// Where it lies.
        relay: String,
        /// Under which name.
        lookup: String,
        /// What shows that it is ours.
        token: String,
    }
}

impl Revocation {
    pub(crate) fn to_js(&self) -> JsValue {
        object([
            ("relay", self.relay.as_str().into()),
            ("lookup", self.lookup.as_str().into()),
            ("token", self.token.as_str().into()),
        ])
    }

    fn from_js(value: &JsValue) -> Option<Self> {
        let text = |name| get(value, name).as_string();
        Some(Self { relay: text("relay")?, lookup: text("lookup")?, token: text("token")? })
    }
}

/// An invite that lies at the relay.
pub(crate) struct Made {
    pub(crate) code: String,
    pub(crate) link: String,
    /// The URL for apps, without its scheme.
    pub(crate) app_url: String,
    pub(crate) expires_at: UnixMs,
    pub(crate) revocation: Revocation,
}

struct Found {
    relay: RelayUrl,
    relay_key: Option<RelayKey>,
    lookup: LookupKey,
    key: InviteKey,
}

impl Device {
    pub(crate) async fn make_invite(&self) -> Result<Made, Error> {
        let code = InviteCode::generate(&mut rng()?);
        let (lookup, key) = in_worker(self.derive(), &code).await?;
        let sealed = self.seal_invite(lookup, key.clone()).await?;
        let SealedInvite { payload, expires, relay, relay_key } = sealed;
        let Left { revoke_token, expires_at } =
            http::leave_invite(&relay, &lookup, &payload, expires).await?;
        let revocation =
            Revocation { relay: relay.as_str().to_owned(), lookup: lookup.to_string(), token: revoke_token };
        self.remember(Some(&revocation)).await?;
        watch::spawn(self.messages(), relay.clone(), revocation.clone(), expires_at);
        // The relay may be reached from here under an address that means nothing elsewhere.
        let relay = http::public_url(&relay).await;
        let target = InviteTarget { relay, relay_key, lookup, key };
        let app_url = target.expose_app_url("");
        let InviteTarget { relay, lookup, key, .. } = target;
        let link = JoinLink { page: relay.clone(), relay, lookup, key }.expose_text();
        Ok(Made { code: code.expose_text(), link, app_url, expires_at, revocation })
    }

    pub(crate) async fn take_back(&self, revocation: &JsValue) -> Result<(), Error> {
        if !revocation.is_undefined() {
            let revocation = Revocation::from_js(revocation);
            return self.revoke(&revocation.ok_or(Error::Argument("this is no invite"))?).await;
        }
        let (answer, row) = oneshot::channel();
        self.send(Message::Recall(LAST_INVITE.to_vec(), answer))?;
        let row = row.await.map_err(|_| Error::Closed)?.ok_or(Error::NothingToRevoke)?;
        self.revoke(&decode(&row).map_err(|_| Error::NothingToRevoke)?).await
    }

    pub(crate) async fn become_member(
        &self,
        invite: &str,
        configured: Option<RelayAddress>,
        claim_id: &str,
    ) -> Result<(), Error> {
        if self.engine_status().group_id.is_some() {
            return Err(Error::AlreadyInGroup);
        }
        let found = self.find(invite, configured.as_ref()).await?;
        let sealed = http::claim_invite(&found.relay, &found.lookup, claim_id).await?;
        let mut invite =
            Invite::open(&found.lookup, &found.key, &sealed).map_err(|_| Error::InviteDamaged)?;
        if unix_now() > invite.expires.plus(CLOCK_TOLERANCE) {
            return Err(Error::InviteExpired);
        }
        if let Some(expected) = found.relay_key.filter(|key| *key != invite.relay_key) {
            return Err(Error::RelayKeyChanged { expected, found: invite.relay_key });
        }
        if http::is_loopback(&invite.relay) {
            // The inviter's own machine. Where the invite lay works from here; its key says who it is.
            invite.relay = found.relay;
        }
        self.done(Command::Join(Box::new(invite))).await
    }

    /// Where the invite of a text lies, and what opens it.
    async fn find(&self, text: &str, configured: Option<&RelayAddress>) -> Result<Found, Error> {
        let text = text.trim();
        if text.contains("://sync?invite=") {
            let InviteTarget { relay, relay_key, lookup, key } = InviteTarget::from_app_url(text)?;
            return Ok(Found { relay, relay_key: Some(relay_key), lookup, key });
        }
        if text.contains("://") || text.contains('#') {
            let JoinLink { relay, lookup, key, page: _ } = text.parse()?;
            let relay_key = self.pinned(&relay, configured);
            return Ok(Found { relay, relay_key, lookup, key });
        }
        let code: InviteCode = text.parse()?;
        let stored = self.engine_status().relay;
        let relay = stored.or_else(|| Some(configured?.url.clone())).ok_or(Error::NoRelay)?;
        let (lookup, key) = in_worker(self.derive(), &code).await?;
        let relay_key = self.pinned(&relay, configured);
        Ok(Found { relay, relay_key, lookup, key })
    }

    /// The key that is expected of this relay, if any.
    fn pinned(&self, relay: &RelayUrl, configured: Option<&RelayAddress>) -> Option<RelayKey> {
        let status = self.engine_status();
        let stored = status.relay_key.filter(|_| status.relay.as_ref() == Some(relay));
        stored.or_else(|| configured.filter(|address| address.url == *relay)?.key)
    }

    async fn seal_invite(&self, lookup: LookupKey, key: InviteKey) -> Result<SealedInvite, Error> {
        match self.ask(Command::SealInvite { lookup, key }).await? {
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
        self.send(Message::Remember(Change { key: LAST_INVITE.to_vec(), value }, answer))?;
        stored.await.unwrap_or(Err(Error::Closed))
    }
}
