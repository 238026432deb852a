//! Invites, one at a time: they are rare.

use sqlx::{Row, SqliteConnection};
use sync_relay_core::decide::{
    CLAIM_REPEAT, ClaimPlan, InviteFacts, plan_claim, plan_create_invite, plan_revoke,
};
use sync_relay_core::store::{
    ClaimInvite, ClaimedInvite, CreateInvite, Refusal, RevokeInvite, WriteOutcome, WriteResult,
};

use super::rows::{bytes, damaged, int, sql_int, sql_time, time};

pub(super) async fn create(
    db: &mut SqliteConnection,
    op: &CreateInvite,
) -> Result<WriteOutcome, sqlx::Error> {
    sqlx::query("DELETE FROM invites WHERE max(expires_at, coalesce(claimed_at + ?, 0)) <= ?")
        .bind(sql_int(CLAIM_REPEAT.as_millis() as u64))
        .bind(sql_time(op.now))
        .execute(&mut *db)
        .await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM invites").fetch_one(&mut *db).await?;
    let taken = facts(db, &op.lookup).await?.is_some();
    if let Err(refusal) = plan_create_invite(taken, int(count, "count")?) {
        return Ok(Err(refusal));
    }
    sqlx::query(
        "INSERT INTO invites (lookup_key, expires_at, revoke_token_hash, payload) VALUES (?, ?, ?, ?)",
    )
    .bind(op.lookup.as_str())
    .bind(sql_time(op.expires_at))
    .bind(op.revoke_hash.as_slice())
    .bind(op.payload.as_slice())
    .execute(db)
    .await?;
    Ok(Ok(WriteResult::InviteCreated))
}

pub(super) async fn claim(db: &mut SqliteConnection, op: &ClaimInvite) -> Result<WriteOutcome, sqlx::Error> {
    let found = facts(db, &op.lookup).await?;
    let plan = match plan_claim(found.as_ref(), op.claim_hash.as_ref(), op.now) {
        Ok(plan) => plan,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(InviteFacts { expires_at, .. }) = found else {
        return Ok(Err(Refusal::InviteNotFound));
    };
    let payload: Option<Vec<u8>> = sqlx::query_scalar("SELECT payload FROM invites WHERE lookup_key = ?")
        .bind(op.lookup.as_str())
        .fetch_one(&mut *db)
        .await?;
    if let ClaimPlan::Take { keep_payload } = plan {
        sqlx::query(
            "UPDATE invites SET claimed_at = ?, claim_id_hash = ?, payload = iif(?, payload, NULL)
             WHERE lookup_key = ?",
        )
        .bind(sql_time(op.now))
        .bind(op.claim_hash.as_ref().map(|hash| hash.as_slice()))
        .bind(keep_payload)
        .bind(op.lookup.as_str())
        .execute(db)
        .await?;
    }
    let payload = payload.ok_or_else(|| damaged("payload"))?;
    Ok(Ok(WriteResult::InviteClaimed(ClaimedInvite { payload, expires_at })))
}

pub(super) async fn revoke(
    db: &mut SqliteConnection,
    op: &RevokeInvite,
) -> Result<WriteOutcome, sqlx::Error> {
    if let Err(refusal) = plan_revoke(facts(db, &op.lookup).await?.as_ref(), &op.revoke_hash, op.now) {
        return Ok(Err(refusal));
    }
    let delete = sqlx::query("DELETE FROM invites WHERE lookup_key = ?").bind(op.lookup.as_str());
    delete.execute(db).await?;
    Ok(Ok(WriteResult::InviteRevoked))
}

pub(super) async fn facts(
    db: &mut SqliteConnection,
    lookup: &str,
) -> Result<Option<InviteFacts>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT expires_at, revoke_token_hash, claimed_at, claim_id_hash FROM invites WHERE lookup_key = ?",
    )
    .bind(lookup)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let claimed_at: Option<i64> = row.try_get(2)?;
    let claim_hash: Option<&[u8]> = row.try_get(3)?;
    let claim_hash = claim_hash.map(|hash| bytes(hash, "claim_id_hash")).transpose()?;
    Ok(Some(InviteFacts {
        expires_at: time(row.try_get(0)?)?,
        revoke_hash: bytes(row.try_get(1)?, "revoke_token_hash")?,
        claimed: match claimed_at {
            Some(at) => Some((time(at)?, claim_hash)),
            None => None,
        },
    }))
}
