//! What holds inside a transaction: pure functions from what the store has to what it should do.
//!
//! A store reads the facts, asks here, and carries the plan out, all in one transaction. So every
//! store decides alike, and the rules can be read without any SQL.

mod admit;
mod invite;
mod push;

pub use admit::{AdmitFacts, AdmitPlan, DeviceFacts, acknowledged, plan_admit};
pub use invite::{
    CLAIM_REPEAT, ClaimPlan, InviteFacts, MAX_INVITES, invite_is_over, invite_status, plan_claim,
    plan_create_invite, plan_revoke,
};
pub use push::{Known, PushFacts, PushPlan, plan_push};
