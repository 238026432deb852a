//! Requests about invites, and their results.

use core::fmt;

use sync_types::UnixMs;

/// An invite to lay down.
#[derive(Clone)]
pub struct CreateInvite {
    /// Under which name.
    pub lookup: String,
    /// What nobody here can open.
    pub payload: Vec<u8>,
    /// Until when.
    pub expires_at: UnixMs,
    /// SHA-256 of the token that takes it back.
    pub revoke_hash: [u8; 32],
    /// The time.
    pub now: UnixMs,
}

/// An invite to take.
#[derive(Clone)]
pub struct ClaimInvite {
    /// Under which name.
    pub lookup: String,
    /// SHA-256 of the claimer's own random id, by which it may repeat the call.
    pub claim_hash: Option<[u8; 32]>,
    /// The time.
    pub now: UnixMs,
}

/// An invite to take back.
#[derive(Clone)]
pub struct RevokeInvite {
    /// Under which name.
    pub lookup: String,
    /// SHA-256 of the token that was given at its making.
    pub revoke_hash: [u8; 32],
    /// The time.
    pub now: UnixMs,
}

/// Lookup keys and hashes of tokens are nobody's business.
macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("now", &self.now).finish_non_exhaustive()
            }
        }
    )*};
}
redacted!(CreateInvite, ClaimInvite, RevokeInvite);

/// What a claimer gets.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimedInvite {
    /// The sealed invite.
    pub payload: Vec<u8>,
    /// Until when it would have lain there.
    pub expires_at: UnixMs,
}

impl fmt::Debug for ClaimedInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedInvite").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How an invite stands, for its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteStatus {
    /// It lies there.
    Pending,
    /// Someone took it.
    Claimed,
    /// Expired, revoked, or never there.
    Gone,
}
