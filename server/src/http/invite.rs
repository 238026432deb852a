//! Invites: sealed parcels that lie here for ten minutes at most and are given away once.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sync_relay_core::Refusal;
use sync_relay_core::store::{
    ClaimInvite, CreateInvite, InviteStatus, ReadOp, ReadResult, RevokeInvite, Store, WriteOp, WriteResult,
};
use sync_types::UnixMs;
use sync_types::limits::{INVITE_LIFETIME, MAX_SEALED_INVITE};
use utoipa::ToSchema;

use super::CLAIM_ID;
use super::problem::{Body, PROBLEM, Problem};
use crate::caller::Caller;
use crate::rations::Ration;
use crate::relay::Relay;
use crate::writer::Unavailable;

/// Shortest and longest lookup key, in characters.
const LOOKUP_LENGTH: core::ops::RangeInclusive<usize> = 8..=64;
/// Longest `Claim-Id`, in bytes.
const MAX_CLAIM_ID: usize = 128;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    /// 8 to 64 characters of Crockford's base32.
    lookup_key: String,
    /// 1 to 16,384 bytes in base64url.
    encrypted_payload: String,
    /// Seconds since 1970; more than ten minutes ahead counts as ten minutes.
    expires: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Created {
    /// Seconds since 1970, by the relay's clock.
    expires_at: u64,
    /// By which its maker asks about it and takes it back.
    revoke_token: String,
}

/// Lay down a sealed invite
#[utoipa::path(post, path = "/invite", request_body = NewInvite, responses(
    (status = CREATED, body = Created, description = "It lies there."),
    (status = BAD_REQUEST, body = Body, content_type = PROBLEM, description = "A field is not as it must be."),
    (status = CONFLICT, body = Body, content_type = PROBLEM, description = "One lies under this key already."),
    (status = PAYLOAD_TOO_LARGE, body = Body, content_type = PROBLEM, description = "The body is over 24 KiB."),
    (status = UNSUPPORTED_MEDIA_TYPE, body = Body, content_type = PROBLEM, description = "Not application/json."),
    (status = UNPROCESSABLE_ENTITY, body = Body, content_type = PROBLEM, description = "A field is missing or unknown."),
    (status = TOO_MANY_REQUESTS, body = Body, content_type = PROBLEM, description = "Try again after Retry-After.",
        headers(("retry-after" = u64, description = "In seconds."))),
    (status = SERVICE_UNAVAILABLE, body = Body, content_type = PROBLEM, description = "Storage is full, or does not answer."),
))]
pub(super) async fn create(
    State(relay): State<Arc<Relay>>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<NewInvite>, JsonRejection>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    take(&relay, &caller, Ration::InviteMade)?;
    let Json(invite) = body.map_err(|rejected| Problem::because(rejected.status(), rejected.body_text()))?;
    let lookup = lookup_key(&invite.lookup_key)?;
    let payload = BASE64URL_NOPAD
        .decode(invite.encrypted_payload.trim_end_matches('=').as_bytes())
        .map_err(|_| Problem::bad_request("encrypted_payload is not base64url"))?;
    if payload.is_empty() || payload.len() > MAX_SEALED_INVITE {
        return Err(Problem::bad_request("encrypted_payload has 1 to 16384 bytes"));
    }
    let now = relay.clock.now().unix;
    let asked = UnixMs(invite.expires.saturating_mul(1000));
    if asked <= now {
        return Err(Problem::bad_request("expires has passed, by the relay's clock"));
    }
    // A maker whose clock is ahead gets the longest life there is, and is told when it ends.
    let expires_at = asked.min(now.plus(INVITE_LIFETIME));
    let mut token = [0; 32];
    getrandom::fill(&mut token).map_err(|_| Unavailable)?;
    let revoke_token = BASE64URL_NOPAD.encode(&token);
    let op = WriteOp::CreateInvite(CreateInvite {
        lookup,
        payload,
        expires_at,
        revoke_hash: hash(&revoke_token),
        now,
    });
    relay.writer.write(op).await??;
    let created = Created { expires_at: expires_at.0 / 1000, revoke_token };
    Ok((StatusCode::CREATED, Json(created)))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Claimed {
    /// In base64url.
    encrypted_payload: String,
    /// Seconds since 1970: until when it would have lain there.
    expires_at: u64,
}

/// Take an invite, which is gone then
///
/// Of two at once, one gets it.
#[utoipa::path(get, path = "/invite/{lookup_key}",
    params(
        ("lookup_key" = String, Path, description = "8 to 64 characters of Crockford's base32."),
        ("claim-id" = Option<String>, Header,
            description = "1 to 128 random characters: with the same ones, the call may be repeated for 60 s."),
    ),
    responses(
        (status = OK, body = Claimed, description = "Here it is, for the caller alone."),
        (status = BAD_REQUEST, body = Body, content_type = PROBLEM, description = "A field is not as it must be."),
        (status = NOT_FOUND, body = Body, content_type = PROBLEM, description = "Mistyped, used, or expired."),
        (status = TOO_MANY_REQUESTS, body = Body, content_type = PROBLEM, description = "Try again after Retry-After.",
            headers(("retry-after" = u64, description = "In seconds."))),
        (status = SERVICE_UNAVAILABLE, body = Body, content_type = PROBLEM, description = "Storage does not answer."),
    )
)]
pub(super) async fn claim(
    State(relay): State<Arc<Relay>>,
    Extension(caller): Extension<Caller>,
    Path(lookup): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Claimed>, Problem> {
    let claim_hash = match headers.get(CLAIM_ID).map(|id| id.as_bytes()) {
        None => None,
        Some(id) if id.is_empty() || id.len() > MAX_CLAIM_ID => {
            return Err(Problem::bad_request("Claim-Id has 1 to 128 characters"));
        }
        Some(id) => Some(Sha256::digest(id).into()),
    };
    take(&relay, &caller, Ration::InviteAsked)?;
    take(&relay, &caller, Ration::InviteMissed)?;
    // What cannot be a key is not found, like every other mistyped one.
    let lookup = lookup_key(&lookup).map_err(|_| Problem::from(Refusal::InviteNotFound))?;
    let op = WriteOp::ClaimInvite(ClaimInvite { lookup, claim_hash, now: relay.clock.now().unix });
    let outcome = relay.writer.write(op).await;
    if outcome != Ok(Err(Refusal::InviteNotFound)) {
        relay.rations.give_back(caller.counted, Ration::InviteMissed);
    }
    let WriteResult::InviteClaimed(claimed) = outcome?? else {
        return Err(Unavailable.into());
    };
    Ok(Json(Claimed {
        encrypted_payload: BASE64URL_NOPAD.encode(&claimed.payload),
        expires_at: claimed.expires_at.0 / 1000,
    }))
}

/// Take one's invite back
#[utoipa::path(delete, path = "/invite/{lookup_key}",
    params(("lookup_key" = String, Path, description = "8 to 64 characters of Crockford's base32.")),
    security(("revoke_token" = [])),
    responses(
        (status = NO_CONTENT, description = "It is gone."),
        (status = BAD_REQUEST, body = Body, content_type = PROBLEM, description = "A field is not as it must be."),
        (status = UNAUTHORIZED, body = Body, content_type = PROBLEM, description = "No token."),
        (status = NOT_FOUND, body = Body, content_type = PROBLEM, description = "Not there, or another's."),
        (status = CONFLICT, body = Body, content_type = PROBLEM, description = "It was used already."),
        (status = TOO_MANY_REQUESTS, body = Body, content_type = PROBLEM, description = "Try again after Retry-After.",
            headers(("retry-after" = u64, description = "In seconds."))),
        (status = SERVICE_UNAVAILABLE, body = Body, content_type = PROBLEM, description = "Storage does not answer."),
    )
)]
pub(super) async fn revoke(
    State(relay): State<Arc<Relay>>,
    Extension(caller): Extension<Caller>,
    Path(lookup): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let op = WriteOp::RevokeInvite(RevokeInvite {
        revoke_hash: token(&headers)?,
        lookup: lookup_key(&lookup)?,
        now: relay.clock.now().unix,
    });
    take(&relay, &caller, Ration::InviteMissed)?;
    let outcome = relay.writer.write(op).await;
    if outcome != Ok(Err(Refusal::InviteNotFound)) {
        relay.rations.give_back(caller.counted, Ration::InviteMissed);
    }
    outcome??;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// `pending`, `claimed` or `gone`.
    status: &'static str,
}

/// Ask how one's invite stands
#[utoipa::path(get, path = "/invite/{lookup_key}/status",
    params(("lookup_key" = String, Path, description = "8 to 64 characters of Crockford's base32.")),
    security(("revoke_token" = [])),
    responses(
        (status = OK, body = Status, description = "What became of it."),
        (status = BAD_REQUEST, body = Body, content_type = PROBLEM, description = "A field is not as it must be."),
        (status = UNAUTHORIZED, body = Body, content_type = PROBLEM, description = "No token."),
        (status = TOO_MANY_REQUESTS, body = Body, content_type = PROBLEM, description = "Try again after Retry-After.",
            headers(("retry-after" = u64, description = "In seconds."))),
        (status = SERVICE_UNAVAILABLE, body = Body, content_type = PROBLEM, description = "Storage does not answer."),
    )
)]
pub(super) async fn status(
    State(relay): State<Arc<Relay>>,
    Extension(caller): Extension<Caller>,
    Path(lookup): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Status>, Problem> {
    let op = ReadOp::Invite {
        revoke_hash: token(&headers)?,
        lookup: lookup_key(&lookup)?,
        now: relay.clock.now().unix,
    };
    take(&relay, &caller, Ration::InviteMissed)?;
    let read = relay.store.read(&op).await;
    if !matches!(read, Ok(ReadResult::Invite(InviteStatus::Gone))) {
        relay.rations.give_back(caller.counted, Ration::InviteMissed);
    }
    let Ok(ReadResult::Invite(status)) = read else {
        return Err(Unavailable.into());
    };
    let status = match status {
        InviteStatus::Pending => "pending",
        InviteStatus::Claimed => "claimed",
        InviteStatus::Gone => "gone",
    };
    Ok(Json(Status { status }))
}

/// Counts a request of an address, or says when there may be another.
///
/// A miss is counted before it is known to be one, and given back when it is not: else many at once would
/// all get through.
fn take(relay: &Relay, caller: &Caller, ration: Ration) -> Result<(), Problem> {
    let now = relay.clock.now().mono;
    relay.rations.take(caller.counted, ration, now).map_err(Problem::too_often)
}

/// A lookup key in its one spelling: upper case, with I, L and O read as the digits they look like.
fn lookup_key(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::bad_request("lookup_key has 8 to 64 characters of Crockford's base32");
    if !LOOKUP_LENGTH.contains(&text.len()) {
        return Err(wrong());
    }
    let read = |c: char| match c.to_ascii_uppercase() {
        'I' | 'L' => Some('1'),
        'O' => Some('0'),
        'U' => None,
        c if c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    };
    text.chars().map(read).collect::<Option<String>>().ok_or_else(wrong)
}

/// The hash of the token that a request brings.
fn token(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    token.map(hash).ok_or_else(|| {
        let why = "the invite's revoke_token goes into Authorization: Bearer";
        Problem::because(StatusCode::UNAUTHORIZED, why)
    })
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_key_has_one_spelling() {
        assert_eq!(lookup_key("abcd-efg").ok(), None);
        assert_eq!(lookup_key("abcdefgh").ok().as_deref(), Some("ABCDEFGH"));
        assert_eq!(lookup_key("oilOIL00").ok().as_deref(), Some("01101100"));
        for wrong in ["abcdefg", "abcdefgu", "abcdefgé", &"a".repeat(65)] {
            assert!(lookup_key(wrong).is_err(), "{wrong}");
        }
    }
}
