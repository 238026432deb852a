//! How an invite goes from hand to hand.

use core::time::Duration;

use subtle::ConstantTimeEq;
use sync_types::UnixMs;

use crate::store::{InviteStatus, Refusal};

/// How long a claimer may repeat its call: a lost response must not burn the invite.
pub const CLAIM_REPEAT: Duration = Duration::from_secs(60);
/// Most invites that lie at a relay at once.
pub const MAX_INVITES: u64 = 10_000;

/// What the store has about an invite, besides its payload.
#[derive(Clone, Copy)]
pub struct InviteFacts {
    /// Until when it lies there.
    pub expires_at: UnixMs,
    /// SHA-256 of the token that takes it back.
    pub revoke_hash: [u8; 32],
    /// When it was taken, and the hash of the taker's id if it gave one.
    pub claimed: Option<(UnixMs, Option<[u8; 32]>)>,
}

impl core::fmt::Debug for InviteFacts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("InviteFacts").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What to do about a claim that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimPlan {
    /// Give it and mark it as taken. Its payload is kept only for a claimer that may repeat the call.
    Take {
        /// Whether to keep the payload.
        keep_payload: bool,
    },
    /// Give it again to the one who has it.
    Repeat,
}

/// Decides about a new invite, after those that [are over](invite_is_over) were erased.
pub fn plan_create_invite(taken: bool, invites: u64) -> Result<(), Refusal> {
    match taken {
        true => Err(Refusal::InviteTaken),
        false if invites >= MAX_INVITES => Err(Refusal::StoreFull),
        false => Ok(()),
    }
}

/// Decides who gets an invite: of two at once exactly one.
pub fn plan_claim(
    invite: Option<&InviteFacts>,
    claim_hash: Option<&[u8; 32]>,
    now: UnixMs,
) -> Result<ClaimPlan, Refusal> {
    let invite = invite.ok_or(Refusal::InviteNotFound)?;
    match invite.claimed {
        None if now < invite.expires_at => Ok(ClaimPlan::Take { keep_payload: claim_hash.is_some() }),
        Some((at, Some(by)))
            if now < at.plus(CLAIM_REPEAT) && claim_hash.is_some_and(|hash| hash.ct_eq(&by).into()) =>
        {
            Ok(ClaimPlan::Repeat)
        }
        None | Some(_) => Err(Refusal::InviteNotFound),
    }
}

/// Decides whether an invite may be taken back.
pub fn plan_revoke(invite: Option<&InviteFacts>, revoke_hash: &[u8; 32], now: UnixMs) -> Result<(), Refusal> {
    match invite_status(invite, revoke_hash, now) {
        InviteStatus::Pending => Ok(()),
        InviteStatus::Claimed => Err(Refusal::InviteUsed),
        InviteStatus::Gone => Err(Refusal::InviteNotFound),
    }
}

/// How an invite stands, for whoever has its token. For anybody else there is none.
pub fn invite_status(invite: Option<&InviteFacts>, revoke_hash: &[u8; 32], now: UnixMs) -> InviteStatus {
    match invite {
        Some(invite) if bool::from(invite.revoke_hash.ct_eq(revoke_hash)) => match invite.claimed {
            Some(_) => InviteStatus::Claimed,
            None if now < invite.expires_at => InviteStatus::Pending,
            None => InviteStatus::Gone,
        },
        Some(_) | None => InviteStatus::Gone,
    }
}

/// Whether nobody can ask for an invite any more, so that it may be erased.
pub fn invite_is_over(invite: &InviteFacts, now: UnixMs) -> bool {
    let end = match invite.claimed {
        Some((at, _)) => invite.expires_at.max(at.plus(CLAIM_REPEAT)),
        None => invite.expires_at,
    };
    now >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: [u8; 32] = [1; 32];
    const ME: [u8; 32] = [2; 32];

    fn invite(claimed: Option<(UnixMs, Option<[u8; 32]>)>) -> InviteFacts {
        InviteFacts { expires_at: UnixMs(600_000), revoke_hash: TOKEN, claimed }
    }

    #[test]
    fn an_invite_is_taken_once_and_repeated_to_its_taker_only() {
        let fresh = invite(None);
        assert_eq!(plan_claim(Some(&fresh), None, UnixMs(0)), Ok(ClaimPlan::Take { keep_payload: false }));
        assert_eq!(
            plan_claim(Some(&fresh), Some(&ME), UnixMs(599_999)),
            Ok(ClaimPlan::Take { keep_payload: true })
        );
        let gone = Err(Refusal::InviteNotFound);
        assert_eq!(plan_claim(Some(&fresh), Some(&ME), UnixMs(600_000)), gone);
        assert_eq!(plan_claim(None, Some(&ME), UnixMs(0)), gone);
        let mine = invite(Some((UnixMs(590_000), Some(ME))));
        assert_eq!(plan_claim(Some(&mine), Some(&ME), UnixMs(649_999)), Ok(ClaimPlan::Repeat));
        assert_eq!(plan_claim(Some(&mine), Some(&ME), UnixMs(650_000)), gone);
        assert_eq!(plan_claim(Some(&mine), Some(&[3; 32]), UnixMs(590_001)), gone);
        assert_eq!(plan_claim(Some(&mine), None, UnixMs(590_001)), gone);
        let anonymous = invite(Some((UnixMs(0), None)));
        assert_eq!(plan_claim(Some(&anonymous), None, UnixMs(1)), gone);
    }

    #[test]
    fn only_the_token_tells_and_takes_back() {
        let status = |invite: &InviteFacts, token| invite_status(Some(invite), &token, UnixMs(5));
        assert_eq!(status(&invite(None), TOKEN), InviteStatus::Pending);
        assert_eq!(status(&invite(None), ME), InviteStatus::Gone);
        let used = invite(Some((UnixMs(1), None)));
        assert_eq!(status(&used, TOKEN), InviteStatus::Claimed);
        assert_eq!(plan_revoke(Some(&used), &TOKEN, UnixMs(5)), Err(Refusal::InviteUsed));
        assert_eq!(plan_revoke(Some(&invite(None)), &TOKEN, UnixMs(5)), Ok(()));
        assert_eq!(plan_revoke(Some(&invite(None)), &ME, UnixMs(5)), Err(Refusal::InviteNotFound));
    }

    #[test]
    fn an_invite_is_kept_as_long_as_someone_may_ask() {
        assert!(!invite_is_over(&invite(None), UnixMs(599_999)));
        assert!(invite_is_over(&invite(None), UnixMs(600_000)));
        let late = invite(Some((UnixMs(599_000), Some(ME))));
        assert!(!invite_is_over(&late, UnixMs(658_999)));
        assert!(invite_is_over(&late, UnixMs(659_000)));
    }
}
