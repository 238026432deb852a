//! What one address, or a crowd that takes nothing, leaves for the others.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{
    Client, Group, Relay, error_code, http, open_narrow_socket, open_socket_for, push, random, soon,
};
use futures_util::{SinkExt, StreamExt};
use sync_relay::{ByteSize, Config};
use sync_types::{Cursor, Envelope, ErrorCode, Nonce, Pull, Push, UnixMs};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message as Frame;

const ADA: &str = "203.0.113.1";
const BOB: &str = "203.0.113.2";

/// Whether a device gets into a group that is not there yet.
async fn founds(relay: &Relay, group: u8, from: &str) -> Result<Client, ErrorCode> {
    let mut client = Client::over(open_socket_for(relay.addr, Some(from)).await, 1, &Group::new(group)).await;
    let hello = client.hello();
    let answer = client.request(hello).await;
    error_code(&answer).map_or(Ok(client), Err)
}

/// A blob that never goes by itself.
fn for_ever(id: u32, bytes: usize) -> Push {
    Push { ttl: Some(0), ..push(id, vec![7; bytes]) }
}

#[tokio::test]
async fn one_address_fills_neither_the_places_nor_the_database() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.groups.max_groups = 12;
    config.limits.messages_per_minute = 10_000;
    config.storage.max_db_size = ByteSize(16 << 20);
    config.storage.max_group_storage = ByteSize(2 << 20);
    let relay = Relay::start_with(&folder, config).await;
    let mut adas = Vec::new();
    for group in 1..=3 {
        adas.push(founds(&relay, group, ADA).await.unwrap_or_else(|code| panic!("{code:?}")));
    }
    assert_eq!(founds(&relay, 4, ADA).await.err(), Some(ErrorCode::GroupLimit));
    // One address in 256 shares its part with hers.
    let mut bob = match founds(&relay, 4, BOB).await {
        Ok(bob) => bob,
        Err(_) => founds(&relay, 4, "203.0.113.3").await.unwrap_or_else(|code| panic!("{code:?}")),
    };

    // Three groups of 2 MiB, of which their address may have 4.
    let mut stored = 0;
    for ada in &mut adas {
        for id in 0.. {
            let answer = ada.request(for_ever(id, 100_000)).await;
            match error_code(&answer) {
                None => stored += 100_000,
                Some(code) => {
                    assert_eq!(code, ErrorCode::GroupStorageFull);
                    break;
                }
            }
        }
    }
    assert!((3_900_000..=4 << 20).contains(&stored), "{stored}");
    for id in 0..20 {
        bob.push(id, vec![7; 100_000]).await;
    }
    relay.stop().await;
}

/// Begins to send what does not end, and waits until the relay has it.
async fn stops_half_way(client: &mut Client) {
    let push = push(1, vec![7; 1 << 20]);
    let envelope = Envelope::seal(&push.into(), client.id(), client.group_id(), UnixMs(0), Nonce(random()));
    let all = client.channel.seal(&envelope).unwrap();
    let but_one = all.len() - 1;
    for frame in all.into_iter().take(but_one) {
        client.socket.send(Frame::binary(frame)).await.unwrap();
    }
    client.socket.send(Frame::Ping(b"all".as_slice().into())).await.unwrap();
    loop {
        match soon(client.socket.next()).await {
            Some(Ok(Frame::Pong(_))) => return,
            Some(Ok(Frame::Binary(_))) => {}
            other => panic!("instead of a pong: {other:?}"),
        }
    }
}

async fn crowd(relay: &Relay, most: u8) -> Vec<Client> {
    let group = Group::new(9);
    let mut crowd = Vec::new();
    for n in 1..=most {
        let mut client = Client::over(open_narrow_socket(relay.addr).await, n, &group).await;
        client.welcome().await;
        crowd.push(client);
    }
    crowd
}

#[tokio::test]
async fn who_stops_in_the_middle_of_a_push_gives_way_to_others() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    // Each of them has room for a whole envelope, of which these are as many as fit into 64 MiB.
    let most = (64 << 20) / Config::default().policy().max_envelope().next_multiple_of(1024);
    let mut crowd = crowd(&relay, u8::try_from(most).unwrap()).await;
    for client in &mut crowd {
        stops_half_way(client).await;
    }
    let mut member = Client::join(relay.addr, 1, &Group::new(1)).await;
    // Waiting in vain would end in a refusal.
    member.push(1, vec![7; 1 << 20]).await;
    relay.stop().await;
}

/// A number of `/metrics`.
async fn metric(relay: &Relay, name: &str) -> u64 {
    let answer = http(relay.addr, "GET", "/metrics", &["host: localhost"], "").await;
    let line = answer.body.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {}", answer.body)).trim().parse().unwrap()
}

#[tokio::test]
async fn who_asks_for_pages_and_takes_none_gives_way_to_others() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.messages_per_minute = 10_000;
    let relay = Relay::start_with(&folder, config).await;
    // Their pages are all that there may be.
    let mut crowd = crowd(&relay, 63).await;
    crowd[0].push(1, vec![7; 1 << 20]).await;
    // Of which sockets hold some.
    for client in &mut crowd {
        for _ in 0..8 {
            client.send(Pull { after_cursor: Cursor::ZERO, limit: 1000 }).await;
        }
    }
    let mut member = Client::join(relay.addr, 1, &Group::new(1)).await;
    member.push(1, vec![7; 1 << 20]).await;
    // Those that are dropped later, for taking nothing at all, are not counted here.
    let refused = "sync_relay_refusals_total{by=\"sync\",reason=\"unavailable\"} ";
    soon(async {
        while metric(&relay, refused).await == 0 {
            assert_eq!(member.pull(0).await.blobs.len(), 1);
        }
    })
    .await;
    relay.stop().await;
}
