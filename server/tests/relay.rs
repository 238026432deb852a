//! The relay as its clients see it: real sockets, a real database.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Group, Heard, Relay, error_code, open_socket, push, soon};
use futures_util::{SinkExt, StreamExt};
use sync_relay::Config;
use sync_types::limits::DEFAULT_MAX_BLOB;
use sync_types::{
    Ack, Cursor, Devices, Envelope, ErrorCode, LeaveAck, Message, Nonce, Presence, Pull, Push, PushBatch,
    UnixMs,
};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message as Frame;

#[tokio::test]
async fn two_devices_push_hear_and_pull() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::connect(relay.addr, 1, &group).await;
    let welcome = a.welcome().await;
    assert_eq!((welcome.version, welcome.max_cursor, welcome.pending_count), (1, Cursor::ZERO, 0));
    assert_eq!((welcome.oldest_cursor.get(), welcome.max_blob_size), (1, DEFAULT_MAX_BLOB));
    let mut b = Client::join(relay.addr, 2, &group).await;
    assert!(matches!(a.message().await, Message::Presence(Presence::Peer(p)) if p.device_id == b.id()));

    assert_eq!(a.push(1, *b"first").await.cursor.get(), 1);
    let Message::Notify(news) = b.message().await else { panic!() };
    assert_eq!((news.cursor.get(), news.sender_id, news.size), (1, a.id(), 5));
    assert_eq!(news.payload.as_deref(), Some(&b"first"[..]));

    // Nothing, and as much as there may be.
    let largest = vec![7; DEFAULT_MAX_BLOB as usize];
    assert_eq!(b.push(2, vec![]).await.cursor.get(), 2);
    assert_eq!(b.push(3, largest.clone()).await.cursor.get(), 3);
    assert_eq!(b.push(4, largest.clone()).await.cursor.get(), 4);
    let page = a.pull(0).await;
    assert!(page.has_more, "a page holds one envelope's worth");
    assert_eq!(page.max_cursor.get(), 3);
    let page = a.pull(3).await;
    assert_eq!(page.blobs[0].payload.as_ref(), Some(&largest));
    assert_eq!((page.blobs[0].sender_id, page.has_more), (b.id(), false));

    // Gone and back: WELCOME tells what waits, and NOTIFY the newest of it.
    drop(b);
    a.push(5, *b"later").await;
    let mut b = Client::connect(relay.addr, 2, &group).await;
    let mut hello = b.hello();
    (hello.last_cursor, hello.store_id) = (Cursor::new(4).unwrap(), welcome.store_id);
    hello.key_log = None;
    let Message::Welcome(again) = b.request(hello).await else { panic!() };
    assert_eq!((again.max_cursor.get(), again.pending_count), (5, 1));
    assert_eq!(again.at_cursor, Some(push(4, vec![]).blob_id));
    assert!(matches!(b.message().await, Message::Notify(n) if n.cursor.get() == 5));
}

#[tokio::test]
async fn a_batch_is_one_message_and_requests_can_be_pipelined() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    let blobs: Vec<_> = (0..512).map(|n| push(n, n.to_be_bytes())).collect();
    let batch = a.send(PushBatch { blobs }).await;
    let pull = a.send(Pull { after_cursor: Cursor::new(510).unwrap(), limit: 0 }).await;
    let Heard::Message(nonce, Message::PushBatchAck(ack)) = a.hear().await else { panic!() };
    assert_eq!(nonce, batch);
    let cursors: Vec<_> = ack.stored.iter().map(|stored| stored.cursor.get()).collect();
    assert_eq!(cursors, (1..=512).collect::<Vec<_>>());
    let Heard::Message(nonce, Message::PullResponse(page)) = a.hear().await else { panic!() };
    assert_eq!((nonce, page.blobs.len()), (pull, 2), "a pull sees what was pushed before it");
}

#[tokio::test]
async fn a_stranger_with_the_group_id_is_refused_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    a.push(1, *b"secret").await;
    let thief = Group { key: ed25519_dalek::SigningKey::from_bytes(&[66; 32]), ..group.clone() };
    for key_log in [Some(group.log.clone()), None] {
        let mut stranger = Client::connect(relay.addr, 9, &thief).await;
        let mut hello = stranger.hello();
        hello.key_log = key_log;
        let answer = stranger.request(hello).await;
        assert_eq!(error_code(&answer), Some(ErrorCode::Unauthenticated));
        assert_eq!(stranger.closed().await, 4003);
    }
    // Another's proof does not pass on another connection.
    let mut replay = Client::connect(relay.addr, 9, &group).await;
    let hello = a.hello();
    assert_eq!(error_code(&replay.request(hello).await), Some(ErrorCode::Unauthenticated));
    // And who skips HELLO reads nothing.
    let mut eager = Client::connect(relay.addr, 9, &group).await;
    eager.send(Pull { after_cursor: Cursor::ZERO, limit: 0 }).await;
    assert_eq!(error_code(&eager.message().await), Some(ErrorCode::BadRequest));
    assert_eq!(eager.closed().await, 4001);

    let Message::DevicesResponse(devices) = a.request(Devices).await else { panic!() };
    assert_eq!(devices.devices.len(), 1);
    assert!(devices.devices[0].online);
}

#[tokio::test]
async fn a_relay_that_does_not_know_the_group_asks_for_its_key_log() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::connect(relay.addr, 1, &Group::new(1)).await;
    let mut hello = a.hello();
    hello.key_log = None;
    assert_eq!(error_code(&a.request(hello).await), Some(ErrorCode::EpochUnknown));
    a.welcome().await;
    assert_eq!(a.push(1, vec![]).await.cursor.get(), 1);
}

#[tokio::test]
async fn two_groups_may_use_the_same_blob_id() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    let mut b = Client::join(relay.addr, 1, &Group::new(2)).await;
    assert_eq!(a.push(1, *b"a").await.cursor.get(), 1);
    assert_eq!(b.push(1, *b"b").await.cursor.get(), 1);
    assert_eq!(b.pull(0).await.blobs[0].payload.as_deref(), Some(&b"b"[..]));
}

#[tokio::test]
async fn a_lost_acknowledgement_does_not_store_the_blob_twice() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut watcher = Client::join(relay.addr, 2, &group).await;
    let mut a = Client::join(relay.addr, 1, &group).await;
    a.send(push(1, *b"once")).await;
    // The other device hears of it: it is committed. Only then is the line cut.
    while !matches!(watcher.message().await, Message::Notify(_)) {}
    drop(a);
    let mut a = Client::join(relay.addr, 1, &group).await;
    assert_eq!(a.push(1, *b"once").await.cursor.get(), 1);
    assert_eq!(a.push(2, *b"next").await.cursor.get(), 2);
    assert_eq!(a.pull(0).await.blobs.len(), 2);
    let conflict = a.request(push(1, *b"other")).await;
    assert_eq!(error_code(&conflict), Some(ErrorCode::Conflict));
}

#[tokio::test]
async fn a_blob_one_byte_too_large_is_refused_and_a_far_too_large_one_not_even_read() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    let too_large = a.request(push(1, vec![0; DEFAULT_MAX_BLOB as usize + 1])).await;
    assert_eq!(error_code(&too_large), Some(ErrorCode::BlobTooLarge));
    assert_eq!(a.push(2, *b"the session goes on").await.cursor.get(), 1);

    let mut envelope = Envelope::seal(
        &push(3, vec![0; 3 << 20]).into(),
        a.id(),
        Group::new(1).id,
        UnixMs(0),
        Nonce([0; 24]),
    );
    envelope.truncate(3 << 20);
    for frame in a.channel.seal(&envelope).unwrap() {
        // The relay may hang up at any of these.
        if a.socket.send(Frame::binary(frame)).await.is_err() {
            break;
        }
    }
    assert_eq!(error_code(&a.message().await), Some(ErrorCode::BlobTooLarge));
    assert_eq!(a.closed().await, 4006);
}

#[tokio::test]
async fn before_welcome_an_envelope_has_64_kib_at_most() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::connect(relay.addr, 1, &Group::new(1)).await;
    a.send_envelope(&vec![0; 64 * 1024 + 1]).await;
    assert_eq!(a.hear().await, Heard::Closed(4001));

    let mut socket = open_socket(relay.addr).await;
    socket.send(Frame::binary(vec![0; 65_536])).await.unwrap();
    let refused = soon(socket.next()).await;
    assert!(!matches!(refused, Some(Ok(Frame::Binary(_)))), "longer than any Noise message");
}

#[tokio::test]
async fn text_and_garbage_end_the_session() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    a.socket.send(Frame::text("hello")).await.unwrap();
    assert_eq!(a.closed().await, 1003);
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    a.socket.send(Frame::binary(vec![0; 40])).await.unwrap();
    assert_eq!(a.closed().await, 4001);
}

#[tokio::test]
async fn the_newer_connection_of_a_device_replaces_the_older() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut old = Client::join(relay.addr, 1, &group).await;
    let mut new = Client::join(relay.addr, 1, &group).await;
    assert_eq!(error_code(&old.message().await), Some(ErrorCode::Replaced));
    assert_eq!(old.closed().await, 4015);
    assert_eq!(new.push(1, vec![]).await.cursor.get(), 1);
}

#[tokio::test]
async fn what_is_unknown_or_wrong_is_answered_and_the_session_goes_on() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    let (_, rotate) = group.rotate(1, 0, &[1]);
    let as_blob = Push { payload: rotate.payload, ..push(1, vec![]) };
    assert_eq!(a.refused(as_blob).await, ErrorCode::BadRequest, "a rotation comes by ROTATE only");
    assert_eq!(a.refused(LeaveAck).await, ErrorCode::BadRequest);

    let nonce = Nonce([7; 24]);
    let mut envelope = Envelope::seal(&Devices.into(), a.id(), group.id, UnixMs(0), nonce);
    envelope[2] = 0x7f;
    a.send_envelope(&envelope).await;
    let Heard::Message(of, answer) = a.hear().await else { panic!() };
    assert_eq!((of, error_code(&answer)), (nonce, Some(ErrorCode::BadRequest)));

    a.send(Ack { cursor: Cursor::new(99).unwrap() }).await;
    assert_eq!(a.request(Presence::Own(1)).await, Presence::Own(1).into());

    let stranger = Envelope::seal(&Devices.into(), a.id(), Group::new(2).id, UnixMs(0), nonce);
    a.send_envelope(&stranger).await;
    assert_eq!(a.closed().await, 4001);
}

#[tokio::test]
async fn messages_are_rationed_by_device_and_reconnecting_buys_nothing() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.limits.messages_per_minute = 3;
    let relay = Relay::start_with(&folder, config).await;
    let group = Group::new(1);
    let mut a = Client::join(relay.addr, 1, &group).await;
    for n in 1..=2 {
        a.push(n, vec![]).await;
    }
    drop(a);
    let mut a = Client::join(relay.addr, 1, &group).await;
    a.push(3, vec![]).await;
    let Message::Error(error) = a.request(push(4, vec![])).await else { panic!() };
    assert_eq!(error.code, ErrorCode::RateLimited.as_u16());
    let wait = error.retry_after_ms.unwrap();
    assert!((1..=20_000).contains(&wait), "{wait} ms");
    assert_eq!(a.request(Presence::Own(1)).await, Presence::Own(1).into(), "which is free");
    let mut b = Client::join(relay.addr, 2, &group).await;
    assert_eq!(b.push(5, vec![]).await.cursor.get(), 4, "another device has its own");
}

#[tokio::test]
async fn groups_can_be_reserved_for_who_knows_the_token() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.groups.access_token = Some("sesame".to_owned());
    let relay = Relay::start_with(&folder, config).await;
    let mut a = Client::connect(relay.addr, 1, &Group::new(1)).await;
    let hello = a.hello();
    assert_eq!(error_code(&a.request(hello).await), Some(ErrorCode::GroupCreationDenied));
    assert_eq!(a.closed().await, 4014);
    let mut a = Client::connect(relay.addr, 1, &Group::new(1)).await;
    let mut hello = a.hello();
    hello.access_token = Some("sesame".into());
    assert!(matches!(a.request(hello).await, Message::Welcome(_)));
    // Who joins a group that is there needs none.
    Client::join(relay.addr, 2, &Group::new(1)).await;
}

#[tokio::test]
async fn a_full_house_is_told_after_the_upgrade() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.server.max_connections = 1;
    let relay = Relay::start_with(&folder, config).await;
    let first = Client::join(relay.addr, 1, &Group::new(1)).await;
    let mut second = open_socket(relay.addr).await;
    let Some(Ok(Frame::Close(Some(close)))) = soon(second.next()).await else { panic!() };
    assert_eq!(u16::from(close.code), 4013);
    drop(first);
}

#[tokio::test]
async fn a_relay_that_stops_says_so_and_answers_what_is_under_way() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    a.push(1, *b"kept").await;
    let stopping = tokio::spawn(relay.stop());
    let Message::Error(error) = a.message().await else { panic!() };
    assert_eq!(error.code, ErrorCode::Unavailable.as_u16());
    assert!(error.retry_after_ms.is_some());
    assert_eq!(a.closed().await, 1001);
    soon(stopping).await.unwrap();
    let relay = Relay::start(&folder).await;
    let mut a = Client::join(relay.addr, 1, &Group::new(1)).await;
    assert_eq!(a.pull(0).await.blobs.len(), 1);
}
