//! What strangers may do, and that members do not feel it. The tests come from 127.0.0.1, which a relay trusts as
//! a proxy: the header says for whom they speak.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Answer, Client, Group, Heard, Relay, http, open_socket, open_socket_for, random, soon};
use futures_util::{SinkExt, StreamExt};
use sync_relay::Config;
use sync_types::channel::Initiator;
use sync_types::{ErrorCode, Message};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

async fn looks_up(addr: SocketAddr, headers: &[&str]) -> Answer {
    http(addr, "GET", "/invite/0123456789ABCDEFGHJKMNPQRS", headers, "").await
}

async fn lays_down(addr: SocketAddr, client: &str) -> u16 {
    let lookup: String = random::<10>().iter().map(|byte| char::from(b'A' + byte % 8)).collect();
    let body = format!(r#"{{"lookup_key":"{lookup}","encrypted_payload":"c2VhbGVk","expires":4000000000}}"#);
    let headers = ["content-type: application/json", client];
    http(addr, "POST", "/invite", &headers, &body).await.status
}

async fn close_code(mut socket: common::Socket) -> u16 {
    match soon(socket.next()).await {
        Some(Ok(Frame::Close(Some(close)))) => close.code.into(),
        other => panic!("instead of a close: {other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_forged_headers_share_one_allowance() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.server.trusted_proxies.clear();
    let relay = Relay::start_with(&folder, config).await;
    let mut counts = (0, 0);
    for _ in 0..1000 {
        let [a, b, c, d] = random();
        let ip = format!("{a}.{b}.{c}.{d}");
        let (forged, also) = (format!("cf-connecting-ip: {ip}"), format!("x-forwarded-for: {ip}"));
        match looks_up(relay.addr, &[&forged, &also]).await.status {
            404 => counts.0 += 1,
            429 => counts.1 += 1,
            other => panic!("{other}"),
        }
    }
    // One more each 20 s, on a slow machine.
    assert!((3..=6).contains(&counts.0), "{counts:?}");
    relay.stop().await;
}

#[tokio::test]
async fn through_a_trusted_proxy_each_client_has_its_own_allowance() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let ada = "cf-connecting-ip: 203.0.113.1";
    for expected in [404, 404, 404, 429, 429] {
        assert_eq!(looks_up(relay.addr, &[ada]).await.status, expected);
    }
    let refused = looks_up(relay.addr, &[ada]).await;
    assert!(refused.head.contains("content-type: application/problem+json"), "{}", refused.head);
    let retry_after = refused.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=20).contains(&retry_after.parse::<u32>().unwrap()), "{retry_after}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("this address"));
    assert_eq!(looks_up(relay.addr, &["cf-connecting-ip: 203.0.113.2"]).await.status, 404);

    // The header that is not named says nothing, and a household is one address.
    assert_eq!(looks_up(relay.addr, &[ada, "x-forwarded-for: 203.0.113.3"]).await.status, 429);
    for (host, expected) in [("1", 404), ("2", 404), ("3", 404), ("4", 429)] {
        let ip = format!("cf-connecting-ip: 2001:db8::{host}");
        assert_eq!(looks_up(relay.addr, &[&ip]).await.status, expected);
    }
    assert_eq!(looks_up(relay.addr, &["cf-connecting-ip: 2001:db8:0:1::1"]).await.status, 404);

    // Who is on this machine, with no proxy between, is not counted.
    for _ in 0..20 {
        assert_eq!(looks_up(relay.addr, &[]).await.status, 404);
    }
    relay.stop().await;
}

#[tokio::test]
async fn invites_are_rationed_by_address_and_what_is_found_is_no_miss() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let ada = "cf-connecting-ip: 203.0.113.1";
    for expected in [201, 201, 201, 201, 201, 429] {
        assert_eq!(lays_down(relay.addr, ada).await, expected);
    }
    let bob = "cf-connecting-ip: 203.0.113.2";
    assert_eq!(lays_down(relay.addr, bob).await, 201);

    let body =
        r#"{"lookup_key":"0123456789ABCDEFGHJKMNPQRS","encrypted_payload":"c2VhbGVk","expires":4000000000}"#;
    let json = "content-type: application/json";
    let created = http(relay.addr, "POST", "/invite", &[json, bob], body).await;
    for _ in 0..9 {
        assert_eq!(looks_up(relay.addr, &[bob, "claim-id: mine"]).await.status, 200);
    }
    let bearer = format!("authorization: Bearer {}", created.json()["revoke_token"].as_str().unwrap());
    let status = "/invite/0123456789ABCDEFGHJKMNPQRS/status";
    for _ in 0..20 {
        assert_eq!(http(relay.addr, "GET", status, &[bob, &bearer], "").await.json()["status"], "claimed");
    }
    assert_eq!(looks_up(relay.addr, &[bob]).await.status, 404);
    assert_eq!(looks_up(relay.addr, &[bob]).await.status, 429, "ten in all");

    // Guessing tokens is guessing, too.
    let eve = "cf-connecting-ip: 203.0.113.3";
    for expected in [200, 200, 200, 429] {
        let guess = "authorization: Bearer AAAA";
        assert_eq!(http(relay.addr, "GET", status, &[eve, guess], "").await.status, expected);
    }
    let path = "/invite/0123456789ABCDEFGHJKMNPQRS";
    assert_eq!(http(relay.addr, "DELETE", path, &[eve, &bearer], "").await.status, 429);
    relay.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_is_told_after_the_upgrade() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.connections_per_ip = 2;
    let relay = Relay::start_with(&folder, config).await;
    let from = |client: &'static str| open_socket_for(relay.addr, Some(client));
    let group = Group::new(1);
    let mut first = Client::over(from("203.0.113.1").await, 1, &group).await;
    first.welcome().await;
    let second = from("203.0.113.1").await;
    assert_eq!(close_code(from("203.0.113.1").await).await, 4005);
    let _other = Client::over(from("203.0.113.2").await, 2, &group).await;
    // A socket that is gone makes room, as soon as the relay knows.
    drop(second);
    let mut third = loop {
        let mut client = Client::over(from("203.0.113.1").await, 3, &group).await;
        let hello = client.hello();
        client.send(hello).await;
        match client.hear().await {
            Heard::Message(_, Message::Welcome(_)) => break client,
            Heard::Closed(4005) | Heard::Cut => {}
            other @ (Heard::Message(..) | Heard::Closed(_)) => panic!("{other:?}"),
        }
    };
    third.push(1, vec![]).await;
    relay.stop().await;
}

#[tokio::test]
async fn connections_that_come_too_fast_are_refused_and_told_when_to_come_back() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.sessions_per_minute = 2;
    let relay = Relay::start_with(&folder, config).await;
    for _ in 0..2 {
        let socket = open_socket_for(relay.addr, Some("203.0.113.1")).await;
        Client::over(socket, 1, &Group::new(1)).await.welcome().await;
    }
    let mut refused = open_socket_for(relay.addr, Some("203.0.113.1")).await;
    let Some(Ok(Frame::Close(Some(close)))) = soon(refused.next()).await else { panic!() };
    assert_eq!(u16::from(close.code), 4005);
    assert!(close.reason.contains("try again in 30 s"), "{}", close.reason);
    relay.stop().await;
}

#[tokio::test]
async fn new_groups_are_rationed_by_address_and_known_ones_are_not() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.groups_per_hour = 2;
    let relay = Relay::start_with(&folder, config).await;
    let join = async |client: &'static str, device: u8, group: u8| {
        let socket = open_socket_for(relay.addr, Some(client)).await;
        let mut client = Client::over(socket, device, &Group::new(group)).await;
        let hello = client.hello();
        (client.request(hello).await, client)
    };
    for group in [1, 2] {
        assert!(matches!(join("203.0.113.1", 1, group).await.0, Message::Welcome(_)));
    }
    let (answer, mut client) = join("203.0.113.1", 1, 3).await;
    let Message::Error(error) = answer else { panic!("{answer:?}") };
    assert_eq!(error.code, ErrorCode::RateLimited.as_u16());
    assert!((1_790_000..=1_800_000).contains(&error.retry_after_ms.unwrap()), "two an hour");
    assert_eq!(client.closed().await, 4005);
    assert!(matches!(join("203.0.113.1", 2, 1).await.0, Message::Welcome(_)), "it joins, it makes none");
    assert!(matches!(join("203.0.113.2", 1, 3).await.0, Message::Welcome(_)));
    relay.stop().await;
}

/// One of the ways to take a place and give nothing, for as long as the relay puts up with it.
async fn half_open(addr: SocketAddr, n: usize) {
    let client = format!("198.51.100.{}", n % 7);
    match n % 4 {
        0 => {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            let _ = socket.read(&mut [0; 9]).await;
        }
        1 => {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            let _ = socket.write_all(b"GET /sync HTTP/1.1\r\nhost: relay\r\nupgrade:").await;
            let _ = socket.read(&mut [0; 9]).await;
        }
        2 => {
            let mut socket = open_socket_for(addr, Some(&client)).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
        _ => {
            let mut socket = open_socket_for(addr, Some(&client)).await;
            let (_, first) = Initiator::start(&common::device(9), random()).unwrap();
            let _ = socket.send(Frame::binary(first)).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
    }
}

#[tokio::test]
async fn a_flood_of_strangers_leaves_members_served() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.max_strangers = 16;
    config.limits.connections_per_ip = 0;
    config.limits.sessions_per_minute = 0;
    config.server.max_connections = 4;
    let relay = Relay::start_with(&folder, config).await;
    let addr = relay.addr;
    let group = Group::new(1);
    let mut member = Client::join(addr, 1, &group).await;

    let opened = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn({
        let (opened, over) = (Arc::clone(&opened), Arc::clone(&over));
        async move {
            let mut strangers = VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                let n = opened.fetch_add(1, Ordering::Relaxed);
                strangers.push_back(tokio::spawn(half_open(addr, n)));
                // Four times as many at once as the relay has room for.
                if strangers.len() >= 64 {
                    let gone: tokio::task::JoinHandle<()> = strangers.pop_front().unwrap();
                    gone.await.unwrap();
                }
            }
            for stranger in strangers {
                stranger.abort();
            }
        }
    });
    soon(async {
        while opened.load(Ordering::Relaxed) < 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for n in 0..20 {
        member.push(n, vec![0; 100]).await;
        let socket = open_socket_for(addr, Some("203.0.113.1")).await;
        let mut newcomer = Client::over(socket, 2, &group).await;
        newcomer.welcome().await;
        assert_eq!(newcomer.pull(0).await.blobs.len(), n as usize + 1);
    }
    over.store(true, Ordering::Relaxed);
    soon(flood).await.unwrap();
    assert!(opened.load(Ordering::Relaxed) > 250, "the flood went on all the while");
    relay.stop().await;
}

#[tokio::test]
async fn a_stranger_that_has_to_make_room_is_told() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.max_strangers = 1;
    let relay = Relay::start_with(&folder, config).await;
    let stranger = open_socket(relay.addr).await;
    let member = Client::join(relay.addr, 1, &Group::new(1)).await;
    assert_eq!(close_code(stranger).await, 4013);
    // Members take no room in the lobby.
    let health = http(relay.addr, "GET", "/health", &[], "").await;
    assert_eq!(health.json()["connections"], 1);
    drop(member);
    relay.stop().await;
}
