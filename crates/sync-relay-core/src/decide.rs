//! What holds inside a transaction: pure functions from what the store has to what it should do.
//!
//! A store reads the facts, asks here, and carries the plan out, all in one transaction. So every
//! store decides alike, and the rules can be read without any SQL.

mod admit;
mod cleanup;
mod delete;
mod device;
mod invite;
mod push;
mod rotate;

pub use admit::{AdmitFacts, AdmitPlan, MAX_GONE_DEVICES, acknowledged, plan_admit};
pub use cleanup::{ExpiredFate, GroupFacts, GroupPlan, OUTAGE, PATIENCE, patience, plan_expired, plan_group};
pub use delete::{
    DeleteFacts, DeletePlan, DoomedBlob, TOMBSTONE, everybody_has, plan_delete, plan_group_delete, plan_leave,
};
pub use device::{DeviceFacts, Standing, has_place, may_read};
pub use invite::{
    CLAIM_REPEAT, ClaimPlan, InviteFacts, MAX_INVITES, invite_is_over, invite_status, plan_claim,
    plan_create_invite, plan_revoke,
};
pub use push::{Known, PushFacts, PushPlan, plan_push};
pub use rotate::{NewRotation, RotateFacts, RotatePlan, plan_rotate};
