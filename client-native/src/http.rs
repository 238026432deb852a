//! What a relay offers beside its WebSocket: leaving, claiming and revoking invites.

use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sync_types::{LookupKey, RelayKey, RelayUrl, UnixMs, shown};
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::clock::random_seed;
use crate::socket::install_crypto;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// A claim may be repeated for 60 s, by the relay's clock.
const CLAIM_RETRIES: Duration = Duration::from_secs(50);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer that are read: what a relay can make a client hold.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Serialize)]
struct NewInvite<'a> {
    lookup_key: &'a str,
    encrypted_payload: &'a str,
    expires: u64,
}

#[derive(Deserialize)]
struct LeftInvite {
    revoke_token: String,
    expires_at: u64,
}

#[derive(Deserialize)]
struct ClaimedInvite {
    encrypted_payload: String,
}

#[derive(Deserialize)]
struct WellKnown {
    public_key: String,
    #[serde(default)]
    public_url: Option<String>,
}

/// RFC 9457, as far as a person needs it.
#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// An invite that lies at the relay.
#[derive(Debug)]
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
    let invite = NewInvite {
        lookup_key: &lookup.to_string(),
        encrypted_payload: &BASE64URL_NOPAD.encode(sealed),
        expires: expires.0 / 1000,
    };
    let request = client(relay)?.post(relay.join("/invite")).json(&invite);
    let response = request.send().await.map_err(|error| unreachable(relay, &error))?;
    match response.status() {
        StatusCode::CREATED => {
            let left: LeftInvite = answer(relay, response).await?;
            let expires_at = UnixMs(left.expires_at.saturating_mul(1000));
            Ok(Left { revoke_token: left.revoke_token, expires_at })
        }
        _ => Err(refused(relay, response).await),
    }
}

/// Takes an invite from the relay, which gives it only once; an answer that is lost on the way is
/// asked for again.
pub(crate) async fn claim_invite(relay: &RelayUrl, lookup: &LookupKey) -> Result<Vec<u8>, Error> {
    let claim_id = HEXLOWER.encode(&random_seed()?[..16]);
    let url = relay.join(&format!("/invite/{lookup}"));
    let client = client(relay)?;
    let give_up = Instant::now() + CLAIM_RETRIES;
    let mut sent = false;
    loop {
        let result = client.get(&url).header("Claim-Id", &claim_id).send().await;
        let error = match result {
            Ok(response) if response.status() == StatusCode::OK => {
                match answer::<ClaimedInvite>(relay, response).await {
                    Ok(claimed) => {
                        return BASE64URL_NOPAD
                            .decode(claimed.encrypted_payload.as_bytes())
                            .map_err(|_| Error::Malformed);
                    }
                    Err(Error::Malformed) => return Err(Error::Malformed),
                    Err(error) => error,
                }
            }
            Ok(response) if response.status() == StatusCode::NOT_FOUND => return Err(Error::InviteNotFound),
            Ok(response) if may_pass(response.status()) => refused(relay, response).await,
            Ok(response) => return Err(refused(relay, response).await),
            // Nothing has reached the relay yet: whoever asked can ask again.
            Err(error) if error.is_connect() && !sent => return Err(unreachable(relay, &error)),
            Err(error) => unreachable(relay, &error),
        };
        sent = true;
        if Instant::now() + RETRY_PAUSE >= give_up {
            return Err(error);
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Where an invite lies, and what shows that it is ours.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) relay: RelayUrl,
    pub(crate) lookup: LookupKey,
    pub(crate) revoke_token: String,
}

/// What has become of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fate {
    Pending,
    Claimed,
    Gone,
}

#[derive(Deserialize)]
struct InviteStatus {
    status: Fate,
}

/// Asks what has become of an invite.
pub(crate) async fn fate_of_invite(invite: &Place) -> Result<Fate, Error> {
    let Place { relay, lookup, revoke_token } = invite;
    let url = relay.join(&format!("/invite/{lookup}/status"));
    let request = client(relay)?.get(url).bearer_auth(revoke_token);
    let response = request.send().await.map_err(|error| unreachable(relay, &error))?;
    if response.status() != StatusCode::OK {
        return Err(refused(relay, response).await);
    }
    Ok(answer::<InviteStatus>(relay, response).await?.status)
}

/// Takes an invite back.
pub(crate) async fn revoke_invite(relay: &RelayUrl, lookup: &str, revoke_token: &str) -> Result<(), Error> {
    let url = relay.join(&format!("/invite/{lookup}"));
    let request = client(relay)?.request(Method::DELETE, url).bearer_auth(revoke_token);
    let response = request.send().await.map_err(|error| unreachable(relay, &error))?;
    match response.status() {
        StatusCode::NO_CONTENT => Ok(()),
        StatusCode::NOT_FOUND => Err(Error::InviteNotFound),
        StatusCode::CONFLICT => Err(Error::InviteUsed),
        _ => Err(refused(relay, response).await),
    }
}

/// The key that the relay says it has.
pub(crate) async fn relay_key(relay: &RelayUrl) -> Result<RelayKey, Error> {
    RelayKey::from_text(&well_known(relay).await?.public_key).ok_or(Error::Malformed)
}

/// Under which address others reach the relay: the one that its owner has set, else the one that works
/// from here.
pub(crate) async fn public_url(relay: &RelayUrl) -> RelayUrl {
    let told = well_known(relay).await.ok().and_then(|known| known.public_url);
    told.and_then(|url| url.parse().ok()).unwrap_or_else(|| relay.clone())
}

async fn well_known(relay: &RelayUrl) -> Result<WellKnown, Error> {
    let request = client(relay)?.get(relay.join("/.well-known/sync-relay"));
    let response = request.send().await.map_err(|error| unreachable(relay, &error))?;
    if response.status() != StatusCode::OK {
        return Err(refused(relay, response).await);
    }
    answer(relay, response).await
}

fn client(relay: &RelayUrl) -> Result<Client, Error> {
    install_crypto();
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        // Whoever redirects could send us anywhere; the WebSocket follows nobody either.
        .redirect(reqwest::redirect::Policy::none());
    if relay.as_str().starts_with("http:") {
        // Without TLS no certificates are needed: there may be none on this machine.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(relay) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        tracing::debug!(%error, "the HTTP client cannot be made");
        Error::Machine("TLS cannot be set up: are the system's certificates installed?")
    })
}

/// Whether an address only means this machine.
pub(crate) fn is_loopback(relay: &RelayUrl) -> bool {
    let host = relay.as_str().split_once("://").map_or("", |(_, rest)| rest);
    ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name))
}

/// Whether a repetition may go better: the relay, or something before it, has trouble of its own.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// Reads an answer's JSON.
///
/// # Errors
/// [`Error::Unreachable`] when it is lost on the way; [`Error::Malformed`].
async fn answer<T: DeserializeOwned>(relay: &RelayUrl, mut response: Response) -> Result<T, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(relay, &error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Error::Malformed);
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| Error::Malformed)
}

fn unreachable(relay: &RelayUrl, error: &reqwest::Error) -> Error {
    // Without its URL, which names the invite.
    tracing::debug!(
        connect = error.is_connect(),
        timeout = error.is_timeout(),
        body = error.is_body(),
        "a request failed"
    );
    Error::Unreachable(Some(relay.clone()))
}

/// A refusal in the relay's words.
async fn refused(relay: &RelayUrl, response: Response) -> Error {
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        return Error::TooManyRequests { seconds: header.and_then(|text| text.parse().ok()).unwrap_or(60) };
    }
    let problem: Problem = answer(relay, response).await.unwrap_or_default();
    let message = [problem.detail, problem.title, status.to_string()]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    Error::Refused { code: None, message: shown(&message) }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with the next of these; gives what was asked of it.
    pub(crate) async fn relay(answers: Vec<String>) -> (RelayUrl, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let len = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..len]).into_owned());
                // Who has read enough hangs up.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            asked
        });
        (url, asked)
    }

    pub(crate) fn with_body(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_claim_is_repeated_under_its_name_as_long_as_something_before_the_relay_fails() {
        let troubles = ["408 Request Timeout", "500 Internal Server Error", "520 Unknown", "530 Unknown"];
        let mut answers: Vec<_> = troubles.iter().map(|status| with_body(status, "<html>")).collect();
        answers.push(with_body("200 OK", r#"{"encrypted_payload":"AQID"}"#));
        let (url, asked) = relay(answers).await;
        assert_eq!(claim_invite(&url, &LookupKey([1; 16])).await.unwrap(), [1, 2, 3]);
        let asked = asked.await.unwrap();
        assert_eq!(asked.len(), 5);
        let claim_id = |request: &String| {
            request.lines().find(|line| line.to_lowercase().starts_with("claim-id:")).unwrap().to_owned()
        };
        assert!(asked.iter().all(|request| claim_id(request) == claim_id(&asked[0])));
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_not_read_to_its_end() {
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(MAX_ANSWER + 1));
        let (url, asked) = relay(vec![endless.clone(), endless]).await;
        assert!(matches!(claim_invite(&url, &LookupKey([1; 16])).await, Err(Error::Malformed)));
        assert!(matches!(relay_key(&url).await, Err(Error::Malformed)));
        asked.await.unwrap();
    }
}
