//! The page in a running relay, whether it was built with one or not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Relay, http};
use tempfile::TempDir;

const KEY: &str = "0123456789ABCDEFGHJKMNPQRS";

#[tokio::test]
async fn opening_the_page_claims_nothing() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 300;
    let body = serde_json::json!({ "lookup_key": KEY, "encrypted_payload": "c2VhbGVk", "expires": expires });
    let json = ["content-type: application/json"];
    let created = http(relay.addr, "POST", "/invite", &json, &body.to_string()).await;
    let bearer = format!("authorization: Bearer {}", created.json()["revoke_token"].as_str().unwrap());

    let link = format!("/join?lookup={KEY}");
    for (method, path) in [("GET", "/join"), ("HEAD", "/join"), ("GET", "/"), ("GET", &link)] {
        let answer = http(relay.addr, method, path, &[], "").await;
        assert!([200, 404].contains(&answer.status), "{method} {path} gave {}", answer.status);
        assert!(answer.head.contains("content-type: text/html"));
        assert!(answer.head.contains("referrer-policy: no-referrer"));
        assert!(answer.head.contains("content-security-policy: default-src 'none'"));
        assert_eq!(answer.body.is_empty(), method == "HEAD");
    }
    let status = http(relay.addr, "GET", &format!("/invite/{KEY}/status"), &[&bearer], "").await;
    assert_eq!(status.json()["status"], "pending");
    relay.stop().await;
}

#[tokio::test]
async fn the_page_is_there_or_says_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let page = http(relay.addr, "GET", "/join", &[], "").await;
    let worker = http(relay.addr, "GET", "/sw.js", &[], "").await;
    if page.status == 200 {
        assert!(page.head.contains("cache-control: no-cache"));
        assert!(page.body.contains("fragment.js"), "the script that takes the link's secret");
        assert_eq!(worker.status, 200);
    } else {
        assert!(page.body.contains("cargo xtask page"), "{}", page.body);
        assert!(page.head.contains("cache-control: no-store"), "it may be there tomorrow");
        assert_eq!(worker.status, 404);
    }
    assert_eq!(http(relay.addr, "POST", "/join", &[], "").await.status, 405);
    relay.stop().await;
}
