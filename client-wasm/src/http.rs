//! What a relay offers beside its WebSocket: leaving, claiming and revoking invites.

mod fetch;

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use gloo_timers::future::sleep;
use sync_types::{LookupKey, RelayUrl, UnixMs, shown};

use crate::Error;
use crate::browser::{get, object};
use crate::clock::mono_now;
use fetch::{Answer, Ask, fetch};

/// A claim may be repeated for 60 s, by the relay's clock.
const CLAIM_RETRIES: Duration = Duration::from_secs(50);
/// While nothing has answered at all. Who asks again by hand asks under the same name.
const UNANSWERED_RETRIES: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// An invite that lies at the relay.
pub(crate) struct Left {
    /// What revokes it.
    pub(crate) revoke_token: String,
    /// When it ends, by the relay's clock.
    pub(crate) expires_at: UnixMs,
}

/// Leaves a sealed invite at the relay.
pub(crate) async fn leave_invite(
    relay: &RelayUrl,
    lookup: &LookupKey,
    sealed: &[u8],
    expires: UnixMs,
) -> Result<Left, Error> {
    let invite = object([
        ("lookup_key", lookup.to_string().into()),
        ("encrypted_payload", Base64UrlUnpadded::encode_string(sealed).into()),
        ("expires", ((expires.0 / 1000) as f64).into()),
    ]);
    let body = js_sys::JSON::stringify(&invite).map_err(|_| Error::Malformed)?;
    let ask = Ask { body: Some(body.into()), ..Ask::new("POST") };
    let answer = fetch(relay, "/invite", ask).await?;
    if answer.status != 201 {
        return Err(refused(&answer));
    }
    let left = answer.json()?;
    let revoke_token = get(&left, "revoke_token").as_string().ok_or(Error::Malformed)?;
    let seconds = get(&left, "expires_at").as_f64().ok_or(Error::Malformed)?;
    Ok(Left { revoke_token, expires_at: UnixMs((seconds * 1000.0) as u64) })
}

/// Takes an invite from the relay, which gives it only once; an answer that is lost on the way is
/// asked for again, under the same name.
pub(crate) async fn claim_invite(
    relay: &RelayUrl,
    lookup: &LookupKey,
    claim_id: &str,
) -> Result<Vec<u8>, Error> {
    let path = format!("/invite/{lookup}");
    let started = mono_now();
    let mut patience = UNANSWERED_RETRIES;
    loop {
        let ask = Ask { header: Some(("Claim-Id", claim_id.to_owned())), ..Ask::new("GET") };
        let error = match fetch(relay, &path, ask).await {
            Ok(answer) if answer.status == 200 => {
                let payload = get(&answer.json()?, "encrypted_payload").as_string();
                let payload = payload.ok_or(Error::Malformed)?;
                return Base64UrlUnpadded::decode_vec(&payload).map_err(|_| Error::Malformed);
            }
            Ok(answer) if answer.status == 404 => return Err(Error::InviteNotFound),
            Ok(answer) if may_pass(answer.status) => {
                patience = CLAIM_RETRIES;
                refused(&answer)
            }
            Ok(answer) => return Err(refused(&answer)),
            Err(error @ Error::Unreachable(_)) => error,
            Err(error) => return Err(error),
        };
        if mono_now().plus(RETRY_PAUSE).since(started) >= patience {
            return Err(error);
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// What has become of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lies at the relay.
    Pending,
    /// Somebody has it.
    Claimed,
    /// It was taken back, or is over.
    Gone,
}

/// Asks what has become of an invite.
pub(crate) async fn fate_of_invite(
    relay: &RelayUrl,
    lookup: &str,
    revoke_token: &str,
) -> Result<Fate, Error> {
    let header = Some(("Authorization", format!("Bearer {revoke_token}")));
    let answer = fetch(relay, &format!("/invite/{lookup}/status"), Ask { header, ..Ask::new("GET") }).await?;
    if answer.status != 200 {
        return Err(refused(&answer));
    }
    match get(&answer.json()?, "status").as_string().as_deref() {
        Some("pending") => Ok(Fate::Pending),
        Some("claimed") => Ok(Fate::Claimed),
        Some("gone") => Ok(Fate::Gone),
        _ => Err(Error::Malformed),
    }
}

/// Takes an invite back.
pub(crate) async fn revoke_invite(relay: &RelayUrl, lookup: &str, revoke_token: &str) -> Result<(), Error> {
    let header = Some(("Authorization", format!("Bearer {revoke_token}")));
    let answer = fetch(relay, &format!("/invite/{lookup}"), Ask { header, ..Ask::new("DELETE") }).await?;
    match answer.status {
        204 => Ok(()),
        404 => Err(Error::InviteNotFound),
        409 => Err(Error::InviteUsed),
        _ => Err(refused(&answer)),
    }
}

/// The address that the relay gives out, for others to use; the one at hand where it gives none.
pub(crate) async fn public_url(relay: &RelayUrl) -> RelayUrl {
    let told = match fetch(relay, "/.well-known/sync-relay", Ask::new("GET")).await {
        Ok(answer) if answer.status == 200 => answer.json().ok(),
        _ => None,
    };
    let url = told.and_then(|known| get(&known, "public_url").as_string());
    url.and_then(|url| url.parse().ok()).unwrap_or_else(|| relay.clone())
}

/// Whether an address only means this machine.
pub(crate) fn is_loopback(relay: &RelayUrl) -> bool {
    let host = relay.as_str().split_once("://").map_or("", |(_, rest)| rest);
    ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name))
}

/// Whether a repetition may go better: the relay, or something before it, has trouble of its own.
fn may_pass(status: u16) -> bool {
    status >= 500 || status == 408
}

/// A refusal in the relay's words (RFC 9457).
fn refused(answer: &Answer) -> Error {
    if answer.status == 429 {
        return Error::TooManyRequests { seconds: answer.retry_after.unwrap_or(60) };
    }
    let problem = answer.json().ok();
    let told = |name| problem.as_ref().and_then(|problem| get(problem, name).as_string());
    let message = [told("detail"), told("title")].into_iter().flatten().find(|text| !text.is_empty());
    let message = message.map_or_else(|| answer.status.to_string(), |message| shown(&message));
    Error::Refused { code: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_machine_is_the_own_machine() {
        let is = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(is("http://localhost:8080") && is("http://127.0.0.1:8080") && is("http://[::1]:8080"));
        assert!(!is("https://relay.example") && !is("https://relay.example/localhost"));
    }
}
