//! Devices that are removed, that leave, and groups that are deleted: real sockets, a real database.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Group, Heard, Relay, error_code, http, push, random, soon};
use ed25519_dalek::SigningKey;
use futures_util::future::join_all;
use sync_relay::{ByteSize, Config};
use sync_types::{
    Ack, Cursor, Devices, ErrorCode, GroupDelete, Leave, Message, Presence, Pull, Rotate, Rotation,
};
use tempfile::TempDir;

/// Device ids that a member is told of.
async fn listed(client: &mut Client) -> Vec<u8> {
    let Message::DevicesResponse(response) = client.request(Devices).await else { panic!() };
    let all: Vec<_> = (0..=20).map(|n| common::device(n).id()).collect();
    let number = |id| all.iter().position(|known| *known == id).unwrap() as u8;
    let mut numbers: Vec<_> = response.devices.into_iter().map(|row| number(row.device_id)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_removed_device_is_closed_at_once_and_never_comes_back() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    let mut removed = Client::join(relay.addr, 3, &group).await;
    removed.push(1, *b"while it was one of us").await;
    let (newer, rotate) = group.rotate(100, 1, &[1, 2]);
    let ack = a.rotate(rotate.clone()).await;
    assert_eq!((ack.epoch, ack.cursor.get()), (1, 2));

    // It asks for everything at once. It hears why it is out, and nothing else that is an answer.
    removed.send(push(2, *b"revenge")).await;
    removed.send(Pull { after_cursor: Cursor::ZERO, limit: 0 }).await;
    removed.send(Ack { cursor: Cursor::new(2).unwrap() }).await;
    let mut told = None;
    let code = loop {
        match removed.hear().await {
            Heard::Message(_, Message::Presence(_)) => {}
            Heard::Message(_, message) => told = told.or(Some(error_code(&message))),
            Heard::Closed(code) => break code,
            Heard::Cut => panic!("cut without a close"),
        }
    };
    assert_eq!((told, code), (Some(Some(ErrorCode::DeviceRevoked)), 4004));

    // With what it had, with what it may have got from somebody, and as somebody else.
    for log in [group.log.clone(), newer.log.clone()] {
        for key in [group.key.clone(), newer.key.clone()] {
            for bring in [true, false] {
                let mut again =
                    Client::connect(relay.addr, 3, &Group { log: log.clone(), key: key.clone(), ..group })
                        .await;
                let mut hello = again.hello();
                hello.key_log = hello.key_log.filter(|_| bring);
                let code = again.refused(hello).await;
                let wrong_key = log.epoch() == 0 && key == newer.key || log.epoch() == 1 && key == group.key;
                let expected = if wrong_key { ErrorCode::Unauthenticated } else { ErrorCode::DeviceRevoked };
                assert_eq!(code, expected);
            }
        }
    }
    assert_eq!(Client::shut_out(relay.addr, 9, &group).await, ErrorCode::EpochStale);
    let (fork, _) = group.rotate(101, 2, &[3]);
    assert_eq!(Client::shut_out(relay.addr, 3, &fork).await, ErrorCode::Conflict);
    assert_eq!(Client::shut_out(relay.addr, 9, &fork).await, ErrorCode::Conflict);

    // The others go on: they are told, read the rotation with their old key, and come again with the new.
    let news = loop {
        if let Message::Notify(news) = b.message().await
            && news.cursor == ack.cursor
        {
            break news;
        }
    };
    assert_eq!((news.sender_id, news.payload.as_deref()), (a.id(), Some(rotate.payload.as_slice())));
    assert_eq!(b.refused(push(3, *b"with the old key")).await, ErrorCode::EpochStale);
    let page = b.pull(0).await;
    let ids: Vec<_> = page.blobs.iter().map(|blob| blob.blob_id).collect();
    assert_eq!(ids, [push(1, vec![]).blob_id, rotate.blob_id]);
    assert!(Rotation::is_one(page.blobs[1].payload.as_ref().unwrap()));
    let mut b = Client::connect(relay.addr, 2, &newer).await;
    assert_eq!(b.welcome().await.epoch, 1);
    assert_eq!(b.push(3, *b"with the new one").await.cursor.get(), 3);
    assert_eq!(listed(&mut b).await, [1, 2]);
}

#[tokio::test]
async fn a_device_that_slept_through_rotations_comes_in_to_read_them() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let asleep = Client::join(relay.addr, 2, &group).await;
    drop(asleep);
    let (second, first_rotation) = group.rotate(100, 0, &[1, 2]);
    let (third, second_rotation) = second.rotate(101, 1, &[1, 2]);
    Client::join(relay.addr, 1, &group).await.rotate(first_rotation).await;
    Client::join(relay.addr, 1, &second).await.rotate(second_rotation).await;
    let mut b = Client::connect(relay.addr, 2, &group).await;
    let welcome = b.welcome().await;
    assert_eq!((welcome.epoch, welcome.max_cursor.get()), (2, 2));
    assert_eq!(b.pull(0).await.blobs.len(), 2);
    assert_eq!(listed(&mut b).await, [1, 2]);
    assert_eq!(b.request(Presence::Own(1)).await, Presence::Own(1).into());
    assert_eq!(b.refused(push(1, vec![])).await, ErrorCode::EpochStale);
    assert_eq!(b.refused(GroupDelete).await, ErrorCode::EpochStale);
    let mut b = Client::join(relay.addr, 2, &third).await;
    assert_eq!(b.push(1, vec![]).await.cursor.get(), 3);
}

#[tokio::test]
async fn of_two_rotations_at_once_the_first_wins_and_the_other_tries_again() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    let (by_a, by_b) = (group.rotate(100, 0, &[1, 2]), group.rotate(200, 0, &[2, 1]));
    let (of_a, of_b) = (a.send(by_a.1).await, b.send(by_b.1).await);
    let mut won = Vec::new();
    for (client, nonce, group) in [(&mut a, of_a, &by_a.0), (&mut b, of_b, &by_b.0)] {
        let answer = client.answer(nonce).await;
        if let Message::RotateAck(ack) = &answer {
            won.push((group.clone(), ack.cursor.get()));
            continue;
        }
        let lost = error_code(&answer);
        assert!(matches!(lost, Some(ErrorCode::EpochStale | ErrorCode::Behind)), "{answer:?}");
    }
    let [(winner, 1)] = won.as_slice() else { panic!("{} rotations at cursor 1", won.len()) };
    // Whoever lost it follows, and may rotate in its turn.
    for device_no in [1, 2] {
        let mut client = Client::join(relay.addr, device_no, winner).await;
        assert_eq!(client.pull(0).await.blobs.len(), 1);
    }
    let (_, again) = winner.rotate(300, 1, &[2, 1]);
    let stale = Rotate { after: Cursor::ZERO, ..again.clone() };
    let mut b = Client::join(relay.addr, 2, winner).await;
    assert_eq!(b.refused(stale).await, ErrorCode::Behind);
    assert_eq!(b.rotate(again).await.epoch, 2);
}

#[tokio::test]
async fn the_same_rotation_again_gets_the_same_answer() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let (newer, rotate) = group.rotate(100, 0, &[1]);
    let ack = a.rotate(rotate.clone()).await;
    assert_eq!(a.rotate(rotate.clone()).await, ack);
    let mut a = Client::join(relay.addr, 1, &newer).await;
    a.push(1, vec![]).await;
    assert_eq!(a.rotate(rotate.clone()).await, ack);
    let (_, other) = newer.rotate(100, 2, &[1]);
    assert_eq!(a.refused(other).await, ErrorCode::Conflict);
    assert_eq!(a.pull(0).await.blobs.len(), 2, "it lies there once");
    let forged = Group { key: SigningKey::from_bytes(&random()), ..newer.clone() }.rotate(101, 2, &[1]).1;
    assert_eq!(a.refused(forged).await, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_relay_that_lost_its_database_gets_the_rotation_back_and_knows_who_is_out() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    Client::join(relay.addr, 2, &group).await;
    Client::join(relay.addr, 3, &group).await;
    let (newer, rotate) = group.rotate(100, 0, &[1, 2]);
    a.rotate(rotate.clone()).await;
    relay.stop().await;
    std::fs::remove_file(folder.path().join("relay.db")).unwrap();
    let relay = Relay::start(&folder).await;

    // The removed device comes first, and the relay knows no better.
    let mut removed = Client::join(relay.addr, 3, &group).await;
    removed.push(1, *b"as if nothing had been").await;
    let mut a = Client::join(relay.addr, 1, &newer).await;
    assert_eq!(removed.refused(push(2, vec![])).await, ErrorCode::EpochStale);
    assert_eq!(Client::shut_out(relay.addr, 2, &group).await, ErrorCode::EpochStale, "not yet");
    let ack = a.rotate(rotate.clone()).await;
    assert_eq!((ack.epoch, ack.cursor.get()), (1, 2), "wherever the log stands");
    assert_eq!(removed.closed().await, 4004);
    assert_eq!(Client::shut_out(relay.addr, 3, &group).await, ErrorCode::DeviceRevoked);
    let mut b = Client::join(relay.addr, 2, &group).await;
    assert_eq!(b.pull(1).await.blobs[0].payload.as_ref(), Some(&rotate.payload));
    assert_eq!(a.rotate(rotate).await, ack);
}

#[tokio::test]
async fn who_leaves_is_answered_and_does_not_come_back() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    b.push(1, *b"its last word").await;
    assert_eq!(b.request(Leave).await, sync_types::LeaveAck.into());
    assert_eq!(b.closed().await, 1000);
    let gone = loop {
        if let Message::Presence(Presence::Peer(peer)) = a.message().await
            && peer.status == 0
        {
            break peer.device_id;
        }
    };
    assert_eq!(gone, b.id());
    assert_eq!(listed(&mut a).await, [1]);
    assert_eq!(Client::shut_out(relay.addr, 2, &group).await, ErrorCode::DeviceRevoked);
    assert_eq!(a.pull(0).await.blobs[0].sender_id, b.id(), "what it said stays");
}

#[tokio::test]
async fn a_deleted_group_ends_for_everybody_and_nothing_of_it_is_left() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let mut b = Client::join(relay.addr, 2, &group).await;
    let mut elsewhere = Client::join(relay.addr, 1, &Group::new(2)).await;
    elsewhere.push(1, vec![]).await;
    for n in 0..12 {
        a.push(n, vec![7; 50_000]).await;
    }
    assert_eq!(a.request(GroupDelete).await, sync_types::GroupDeleteAck.into());
    assert_eq!(a.closed().await, 1000);
    let told = loop {
        let message = b.message().await;
        if let Some(code) = error_code(&message) {
            break code;
        }
    };
    assert_eq!(told, ErrorCode::GroupDeleted);
    assert_eq!(b.closed().await, 4016);
    assert_eq!(Client::shut_out(relay.addr, 1, &group).await, ErrorCode::GroupDeleted);
    // The blobs go bit by bit, but at once, and nobody has to wait for the hour.
    let erased = async {
        while http(relay.addr, "GET", "/health", &[], "").await.json()["blobs_stored"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    soon(erased).await;
    relay.stop().await;
    let relay = Relay::start(&folder).await;
    assert_eq!(Client::shut_out(relay.addr, 2, &group).await, ErrorCode::GroupDeleted);
    assert_eq!(http(relay.addr, "GET", "/health", &[], "").await.json()["groups"], 1);
}

/// Says that a device has everything up to here, and waits until the relay knows.
async fn has(client: &mut Client, cursor: Cursor) {
    client.send(Ack { cursor }).await;
    client.pull(cursor.get()).await;
}

#[tokio::test]
async fn one_dead_device_among_fifty_is_named_and_removing_it_frees_the_group() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.storage.max_group_storage = ByteSize(4 << 20);
    config.limits.messages_per_minute = 100_000;
    let relay = Relay::start_with(&folder, config).await;
    let group = Group::new(1);
    let mut alive = Vec::new();
    for n in 1..50 {
        alive.push(Client::join(relay.addr, n, &group).await);
    }
    let dead = Client::join(relay.addr, 50, &group).await.id();
    let mut pushed = 0;
    let refusal = loop {
        let answer = alive[0].request(push(pushed, vec![7; 900_000])).await;
        if let Message::Error(error) = answer {
            break error;
        }
        let Message::PushAck(ack) = answer else { panic!("a push gave {answer:?}") };
        pushed += 1;
        join_all(alive.iter_mut().map(|client| has(client, ack.cursor))).await;
        assert!(pushed < 12, "the bound holds");
    };
    assert_eq!(ErrorCode::from_u16(refusal.code), Some(ErrorCode::GroupStorageFull));
    let named = refusal.message.split_whitespace().find(|word| word.ends_with('…')).unwrap();
    assert!(dead.to_string().starts_with(named.trim_end_matches('…')), "{}", refusal.message);

    let remaining: Vec<_> = (1..50).collect();
    let (newer, rotate) = group.rotate(1_000, u64::from(pushed), &remaining);
    alive[0].rotate(rotate).await;
    let addr = relay.addr;
    alive = join_all(remaining.iter().map(|n| Client::join(addr, *n, &newer))).await;
    for n in 0..12 {
        let cursor = alive[0].push(2_000 + n, vec![7; 900_000]).await.cursor;
        join_all(alive.iter_mut().map(|client| has(client, cursor))).await;
    }
    relay.stop().await;
}
