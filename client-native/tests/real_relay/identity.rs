use futures_util::{SinkExt, StreamExt};
use sync_client::{Error, Event, RelayKey};
use sync_types::RelaySecret;
use sync_types::channel::Responder;
use sync_types::limits::SUBPROTOCOL;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::relay::Relay;
use crate::support::{Shortcuts, device, pair, wait_for};

#[tokio::test]
async fn another_relay_under_the_address_is_named_and_learns_nothing() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    b.client.close().await;
    let right = a.client.status().relay_key.unwrap();
    let mut events = a.client.subscribe();
    relay.kill();
    let stranger = RelaySecret::from_bytes([9; 32]);
    let wrong = stranger.key();
    let listener = TcpListener::bind(relay.address()).await.unwrap();
    let heard = tokio::spawn(stranger_answers(listener, stranger));
    a.client.woke();

    let stopped =
        wait_for(&mut events, |event| matches!(event, Event::Disconnected { stopped: Some(_) })).await;
    let Event::Disconnected { stopped: Some(reason) } = stopped else { unreachable!() };
    let error = Error::from(reason);
    assert!(error.to_string().contains(&right.to_string()) && error.to_string().contains(&wrong.to_string()));
    assert!(
        matches!(error, Error::RelayKeyChanged { expected, found } if (expected, found) == (right, wrong))
    );
    assert_eq!(heard.await.unwrap(), 1, "one handshake message, which names nobody");

    // Pushes still queue up; and who connects is told again.
    a.client.push("kept").await.unwrap();
    assert!(a.client.connect().await.is_err());
}

#[tokio::test]
async fn a_key_that_is_trusted_by_name_goes_on() {
    let mut relay = Relay::start();
    let (a, b) = pair(&relay.url()).await;
    a.client.send("before").await;
    assert_eq!(b.client.read_until("before").await, ["before"]);
    // The owner lost the whole folder, and with it the relay's key.
    let (mut at_a, mut at_b) = (a.client.subscribe(), b.client.subscribe());
    relay.kill();
    for events in [&mut at_a, &mut at_b] {
        wait_for(events, |event| matches!(event, Event::Disconnected { .. })).await;
    }
    relay.put_back(&[]);
    relay.restart();
    for device in [&a, &b] {
        let found = loop {
            // An attempt may still meet the relay that is gone.
            match device.client.connect().await {
                Err(Error::RelayKeyChanged { found, .. }) => break found,
                Err(Error::Unreachable(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        let mut events = device.client.subscribe();
        device.client.trust_relay(found).await.unwrap();
        device.client.connect().await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::RelayReset)).await;
        assert_eq!(device.client.status().relay_key, Some(found));
    }
    a.client.send("after").await;
    assert_eq!(b.client.read_until("after").await, ["after"]);
}

#[tokio::test]
async fn a_key_in_the_address_is_pinned_from_the_start() {
    let relay = Relay::start();
    let wrong = RelayKey::from_bytes([9; 32]).unwrap();
    let a = device(&format!("{}#relay={wrong}", relay.url()), "laptop").await;
    a.client.push("makes a group").await.unwrap();
    let refused = a.client.connect().await;
    assert!(
        matches!(refused, Err(Error::RelayKeyChanged { expected, .. }) if expected == wrong),
        "{refused:?}"
    );
}

/// Answers one connection as a relay would, with another key; gives how many messages came.
async fn stranger_answers(listener: TcpListener, key: RelaySecret) -> usize {
    let (stream, _) = listener.accept().await.unwrap();
    #[allow(clippy::result_large_err)]
    let accept = |_: &Request, mut response: Response| {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, accept).await.unwrap();
    let first = socket.next().await.unwrap().unwrap().into_data();
    let (_, second) = Responder::answer(&key, [7; 32], &first).unwrap();
    socket.send(Message::binary(second)).await.unwrap();
    let mut messages = 1;
    while let Some(Ok(message)) = socket.next().await {
        messages += usize::from(message.is_binary());
    }
    messages
}
