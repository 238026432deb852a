//! What `/metrics` says, and to whom.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use common::{Answer, Client, Group, Relay, http, push};
use sync_relay::Config;
use sync_types::PushBatch;
use tempfile::TempDir;
use tokio::net::TcpListener;

async fn metrics(addr: SocketAddr, headers: &[&str]) -> Answer {
    http(addr, "GET", "/metrics", headers, "").await
}

/// The value of one series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn what_happens_is_counted_and_nobody_is_named() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.messages_per_minute = 5;
    let relay = Relay::start_with(&folder, config).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let _b = Client::join(relay.addr, 2, &group).await;
    let blobs = (0..9).map(|n| push(n, vec![0; 100])).collect();
    a.request(PushBatch { blobs }).await;
    a.push(9, vec![0; 1000]).await;
    a.push(9, vec![0; 1000]).await;
    assert_eq!(a.pull(8).await.blobs.len(), 2);
    a.pull(10).await;
    a.request(push(10, vec![])).await;
    assert_eq!(http(relay.addr, "GET", "/nowhere", &[], "").await.status, 404);

    let answer = metrics(relay.addr, &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"));
    let text = answer.body;
    for (series, expected) in [
        ("sync_relay_connections", 2.0),
        ("sync_relay_strangers", 1.0), // Who asks.
        ("sync_relay_queued_writes", 0.0),
        ("sync_relay_storage_up", 1.0),
        ("sync_relay_groups", 1.0),
        ("sync_relay_devices", 2.0),
        ("sync_relay_blobs", 10.0),
        ("sync_relay_sessions_total", 2.0),
        ("sync_relay_pushes_total", 3.0),
        ("sync_relay_pushed_blobs_total", 10.0),
        ("sync_relay_pushed_bytes_total", 1900.0),
        ("sync_relay_pulls_total", 2.0),
        ("sync_relay_pulled_blobs_total", 2.0),
        ("sync_relay_pulled_bytes_total", 1100.0),
        ("sync_relay_pull_seconds_count", 2.0),
        ("sync_relay_refusals_total{by=\"sync\",reason=\"rate_limited\"}", 1.0),
        ("sync_relay_refusals_total{by=\"sync\",reason=\"bad_request\"}", 0.0),
        ("sync_relay_refusals_total{by=\"http\",reason=\"not_found\"}", 1.0),
        ("sync_relay_storage_failures_total{of=\"commit\"}", 0.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    let commits = value(&text, "sync_relay_commit_seconds_count");
    assert!(commits >= 5.0, "two devices let in, three pushes");
    assert_eq!(value(&text, "sync_relay_commit_writes_count"), commits);
    assert_eq!(value(&text, "sync_relay_commit_seconds_bucket{le=\"+Inf\"}"), commits);
    assert!(value(&text, "sync_relay_stored_bytes") >= 1900.0);
    assert!(value(&text, "sync_relay_database_bytes") >= 4096.0);

    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    for id in [group.id.to_string(), a.id().to_string()] {
        assert!(!text.contains(&id[..8]));
    }
    relay.stop().await;
}

#[tokio::test]
async fn they_are_for_this_machine_and_for_who_has_the_token() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.metrics.token = Some("sesame".to_owned());
    let relay = Relay::start_with(&folder, config).await;
    for (headers, expected) in [
        (&[][..], 200),
        (&["host: localhost:8080"], 200),
        (&["host: relay.example"], 403),
        (&["cf-connecting-ip: 203.0.113.1"], 403),
        (&["cf-connecting-ip: 127.0.0.1"], 403),
        (&["x-forwarded-for: 127.0.0.1"], 403),
        (&["via: 1.1 proxy"], 403),
        (&["cf-connecting-ip: 203.0.113.1", "authorization: Bearer sesame"], 200),
        (&["cf-connecting-ip: 203.0.113.1", "authorization: Bearer sesam"], 403),
        (&["cf-connecting-ip: 203.0.113.1", "authorization: Bearer "], 403),
        (&["origin: https://page.example", "cf-connecting-ip: 203.0.113.1"], 403),
    ] {
        let answer = metrics(relay.addr, headers).await;
        assert_eq!(answer.status, expected, "{headers:?}");
        assert_eq!(answer.body.contains("sync_relay_"), expected == 200);
        assert_eq!(answer.head.contains("content-type: application/problem+json"), expected == 403);
    }
    let other_page = metrics(relay.addr, &["origin: https://page.example"]).await;
    assert!(!other_page.head.contains("access-control"), "{}", other_page.head);
    assert!(other_page.head.contains("x-content-type-options: nosniff"));
    assert_eq!(http(relay.addr, "POST", "/metrics", &[], "").await.status, 405);
    relay.stop().await;
}

#[tokio::test]
async fn they_may_have_a_listener_of_their_own() {
    let folder = TempDir::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut config = Config::default();
    config.metrics.bind = Some(free);
    let relay = Relay::start_with(&folder, config).await;
    let public = metrics(relay.addr, &["cf-connecting-ip: 203.0.113.1"]).await;
    assert_eq!(public.status, 403);
    let own = metrics(free, &["cf-connecting-ip: 203.0.113.1", "host: prometheus.example"]).await;
    assert_eq!(own.status, 200);
    assert_eq!(value(&own.body, "sync_relay_storage_up"), 1.0);
    assert_eq!(http(free, "GET", "/health", &[], "").await.status, 404, "and nothing else");
    relay.stop().await;
}

#[tokio::test]
async fn the_dashboard_shows_what_there_is_and_all_of_it() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let text = metrics(relay.addr, &[]).await.body;
    relay.stop().await;
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("sync_relay_")).map(str::to_owned).collect()
    };
    let there: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let shown: BTreeSet<String> =
        queries.flat_map(|target| words(target["expr"].as_str().unwrap())).collect();
    let missing: Vec<_> = shown.difference(&there).collect();
    assert!(missing.is_empty(), "the dashboard asks for {missing:?}");
    let base = |name: &String| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = shown.iter().map(base).collect();
    let hidden: Vec<_> = there.iter().map(base).filter(|name| !shown.contains(name)).collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}
