//! Invites in memory.

use sync_relay_core::decide::{
    ClaimPlan, InviteFacts, invite_is_over, invite_status, plan_claim, plan_create_invite, plan_revoke,
};
use sync_relay_core::store::{
    ClaimInvite, ClaimedInvite, CreateInvite, InviteStatus, Refusal, RevokeInvite, WriteOutcome, WriteResult,
};
use sync_types::UnixMs;

use super::state::State;

impl State {
    pub(super) fn create_invite(&mut self, op: &CreateInvite) -> WriteOutcome {
        self.invites.retain(|_, (facts, _)| !invite_is_over(facts, op.now));
        plan_create_invite(self.invites.contains_key(&op.lookup), self.invites.len() as u64)?;
        let facts = InviteFacts { expires_at: op.expires_at, revoke_hash: op.revoke_hash, claimed: None };
        self.invites.insert(op.lookup.clone(), (facts, op.payload.clone()));
        Ok(WriteResult::InviteCreated)
    }

    pub(super) fn claim_invite(&mut self, op: &ClaimInvite) -> WriteOutcome {
        let invite = self.invites.get_mut(&op.lookup);
        let plan = plan_claim(invite.as_ref().map(|(facts, _)| facts), op.claim_hash.as_ref(), op.now)?;
        let (facts, payload) = invite.ok_or(Refusal::InviteNotFound)?;
        let expires_at = facts.expires_at;
        let payload = match plan {
            ClaimPlan::Repeat => payload.clone(),
            ClaimPlan::Take { keep_payload } => {
                facts.claimed = Some((op.now, op.claim_hash));
                let given = payload.clone();
                if !keep_payload {
                    payload.clear();
                }
                given
            }
        };
        Ok(WriteResult::InviteClaimed(ClaimedInvite { payload, expires_at }))
    }

    pub(super) fn revoke_invite(&mut self, op: &RevokeInvite) -> WriteOutcome {
        let invite = self.invites.get(&op.lookup).map(|(facts, _)| facts);
        plan_revoke(invite, &op.revoke_hash, op.now)?;
        self.invites.remove(&op.lookup);
        Ok(WriteResult::InviteRevoked)
    }

    pub(super) fn invite(&self, lookup: &str, revoke_hash: &[u8; 32], now: UnixMs) -> InviteStatus {
        invite_status(self.invites.get(lookup).map(|(facts, _)| facts), revoke_hash, now)
    }
}
