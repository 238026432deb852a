//! Everything but the WebSocket.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Answer, Client, Group, Relay, http};
use sync_relay::Config;
use sync_types::RelayKey;
use tempfile::TempDir;

const KEY: &str = "0123456789ABCDEFGHJKMNPQRS";

fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

async fn lay_down(relay: &Relay, lookup: &str, payload: &str, seconds: i64) -> Answer {
    let expires = in_seconds(seconds);
    let body = serde_json::json!({
        "lookup_key": lookup, "encrypted_payload": payload, "expires": expires,
    });
    http(relay.addr, "POST", "/invite", &["content-type: application/json"], &body.to_string()).await
}

fn bearer(created: &Answer) -> String {
    format!("authorization: Bearer {}", created.json()["revoke_token"].as_str().unwrap())
}

async fn status(relay: &Relay, lookup: &str, bearer: &str) -> String {
    let answer = http(relay.addr, "GET", &format!("/invite/{lookup}/status"), &[bearer], "").await;
    answer.json()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_invite_is_given_once() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let created = lay_down(&relay, KEY, "c2VhbGVk", 300).await;
    assert_eq!(created.status, 201);
    let expires_at = created.json()["expires_at"].as_i64().unwrap();
    assert!((in_seconds(290)..=in_seconds(300)).contains(&expires_at));
    assert_eq!(lay_down(&relay, &KEY.to_lowercase(), "b3RoZXI", 300).await.status, 409);
    assert_eq!(status(&relay, KEY, &bearer(&created)).await, "pending");

    let path = format!("/invite/{KEY}");
    assert_eq!(http(relay.addr, "HEAD", &path, &[], "").await.status, 405, "asks, but does not take");
    let claims = (0..8).map(|_| http(relay.addr, "GET", &path, &[], ""));
    let claims = futures_util::future::join_all(claims).await;
    let given: Vec<_> = claims.iter().filter(|claim| claim.status == 200).collect();
    assert_eq!(given.len(), 1, "of eight at once");
    assert_eq!(given[0].json()["encrypted_payload"], "c2VhbGVk");
    assert_eq!(given[0].json()["expires_at"], expires_at);
    let late = http(relay.addr, "GET", &path, &[], "").await;
    assert_eq!(late.status, 404);
    assert!(late.head.contains("content-type: application/problem+json"));
    assert!(late.json()["detail"].as_str().unwrap().contains("mistyped, used, or expired"));
    assert_eq!(status(&relay, KEY, &bearer(&created)).await, "claimed");
    let revoked = http(relay.addr, "DELETE", &path, &[&bearer(&created)], "").await;
    assert_eq!(revoked.status, 409, "too late to take it back");
    relay.stop().await;
}

#[tokio::test]
async fn of_two_who_claim_at_once_one_gets_it_a_thousand_times() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    for n in 0..1_000 {
        let key = format!("{n:0>26}");
        assert_eq!(lay_down(&relay, &key, "c2VhbGVk", 300).await.status, 201);
        let path = format!("/invite/{key}");
        let claim = || http(relay.addr, "GET", &path, &[], "");
        let (one, other) = futures_util::future::join(claim(), claim()).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404], "invite {n}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_lost_response_does_not_burn_the_invite() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    lay_down(&relay, KEY, "c2VhbGVk", 300).await;
    let path = format!("/invite/{KEY}");
    for (claim_id, expected) in [("mine", 200), ("mine", 200), ("another's", 404), ("mine", 200)] {
        let header = format!("claim-id: {claim_id}");
        assert_eq!(http(relay.addr, "GET", &path, &[&header], "").await.status, expected);
    }
    assert_eq!(http(relay.addr, "GET", &path, &[], "").await.status, 404);
    relay.stop().await;
}

#[tokio::test]
async fn only_its_maker_takes_an_invite_back() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let created = lay_down(&relay, KEY, "c2VhbGVk", 300).await;
    let path = format!("/invite/{KEY}");
    assert_eq!(http(relay.addr, "DELETE", &path, &[], "").await.status, 401);
    let wrong = "authorization: Bearer AAAA";
    assert_eq!(http(relay.addr, "DELETE", &path, &[wrong], "").await.status, 404);
    assert_eq!(status(&relay, KEY, wrong).await, "gone");
    assert_eq!(http(relay.addr, "DELETE", &path, &[&bearer(&created)], "").await.status, 204);
    assert_eq!(http(relay.addr, "DELETE", &path, &[&bearer(&created)], "").await.status, 404);
    assert_eq!(http(relay.addr, "GET", &path, &[], "").await.status, 404);
    assert_eq!(status(&relay, KEY, &bearer(&created)).await, "gone");
    relay.stop().await;
}

#[tokio::test]
async fn bad_invites_are_refused_with_a_reason() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let long = "A".repeat(65);
    for (lookup, payload, seconds) in [
        ("SHORT", "c2VhbGVk", 300),
        (long.as_str(), "c2VhbGVk", 300),
        ("NOT-BASE32-U", "c2VhbGVk", 300),
        (KEY, "not base64", 300),
        (KEY, "", 300),
        (KEY, "c2VhbGVk", -5),
    ] {
        let answer = lay_down(&relay, lookup, payload, seconds).await;
        assert_eq!(answer.status, 400, "{lookup} {payload} {seconds}");
        assert!(answer.json()["detail"].is_string());
    }
    assert_eq!(lay_down(&relay, KEY, &"A".repeat(21_848), 300).await.status, 400, "over 16 KiB");
    assert_eq!(lay_down(&relay, KEY, &"A".repeat(40_000), 300).await.status, 413);
    let json = ["content-type: application/json"];
    assert_eq!(http(relay.addr, "POST", "/invite", &json, "{").await.status, 400);
    assert_eq!(http(relay.addr, "POST", "/invite", &json, "{}").await.status, 422);
    assert_eq!(http(relay.addr, "GET", "/invite/nope", &[], "").await.status, 404);

    // Ten minutes by the relay's clock, whatever the maker asks for; and the most that fits.
    let largest = lay_down(&relay, KEY, &"A".repeat(21_846), 86_400).await;
    assert_eq!(largest.status, 201, "{largest:?}");
    assert!(largest.json()["expires_at"].as_i64().unwrap() <= in_seconds(600));
    relay.stop().await;
}

#[tokio::test]
async fn the_relay_says_who_and_how_it_is() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.server.public_url = Some("https://relay.example".to_owned());
    let relay = Relay::start_with(&folder, config).await;
    let known = http(relay.addr, "GET", "/.well-known/sync-relay", &["origin: tauri://localhost"], "").await;
    assert_eq!(known.status, 200);
    assert!(known.head.contains("access-control-allow-origin: *"));
    assert!(known.head.contains("x-content-type-options: nosniff"));
    let key = known.json()["public_key"].as_str().unwrap().to_owned();
    assert!(RelayKey::from_text(&key).is_some());
    assert_eq!(known.json()["public_url"], "https://relay.example");
    assert_eq!(known.json()["protocol_versions"], serde_json::json!([1]));

    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    a.push(1, *b"x").await;
    let health = http(relay.addr, "GET", "/health", &[], "").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(
        (&health["connections"], &health["groups"], &health["blobs_stored"]),
        (&1.into(), &1.into(), &1.into())
    );

    // Whoever refuses, it is a problem in JSON.
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/sync", 400),
        ("POST", "/health", 405),
        ("GET", "/invite/%ff", 400),
        ("POST", "/invite", 415),
        ("GET", "/assets/nothing", 404),
    ] {
        let refused = http(relay.addr, method, path, &["origin: https://app.example"], "").await;
        assert_eq!(refused.status, status, "{method} {path}");
        assert!(refused.head.contains("content-type: application/problem+json"), "{path}: {}", refused.head);
        assert!(refused.head.contains("access-control-allow-origin: *"), "{path}: {}", refused.head);
        assert_eq!(refused.json()["status"], status);
        assert_eq!(refused.json()["type"], "about:blank");
    }
    let missing = http(relay.addr, "GET", "/nowhere", &[], "").await;
    assert_eq!((missing.status, missing.json()["status"].as_u64()), (404, Some(404)));
    let preflight = [
        "origin: https://app.example",
        "access-control-request-method: DELETE",
        "access-control-request-headers: authorization,claim-id",
    ];
    let preflight = http(relay.addr, "OPTIONS", "/invite/x", &preflight, "").await;
    assert!(preflight.head.contains("access-control-allow-headers"), "{}", preflight.head);
    assert!(!preflight.head.contains("allow-credentials"));
    relay.stop().await;

    let relay = Relay::start(&folder).await;
    let again = http(relay.addr, "GET", "/.well-known/sync-relay", &[], "").await.json();
    assert_eq!(again["public_key"], key, "the same relay after a restart");
    relay.stop().await;
}
