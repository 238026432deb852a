//! Connecting, being refused, and losing the connection.

use sync_engine::{Command, EngineError, Event, Input, StopReason};
use sync_types::{
    ErrorBody, ErrorCode, Message, PeerPresence, Presence, RelayAddress, RelaySecret, UnixMs, Welcome,
};

use crate::common::{Device, Peer, relay_secret, welcome};
use crate::steps::online;

#[test]
fn another_relay_key_is_noticed_before_the_device_says_who_it_is() {
    let expected = RelaySecret::from_bytes([6; 32]).key();
    let url = "https://relay.example".parse().unwrap();
    let mut device = Device::at(RelayAddress { url, key: Some(expected) });
    device.push(b"x");
    device.command(Command::Connect);
    device.input(Input::Connected);
    let first = device.sent.remove(0);
    let (_, second) = sync_types::channel::Responder::answer(&relay_secret(), [7; 32], &first).unwrap();
    device.input(Input::Frame(second));

    let found = relay_secret().key();
    assert!(device.sent.is_empty(), "the third message would have named the device");
    assert_eq!(device.disconnects, 1);
    let reason = StopReason::RelayKeyChanged { expected, found };
    assert_eq!(device.take_events(), [Event::Disconnected { stopped: Some(reason.clone()) }]);
    assert_eq!(device.engine.status().stopped.as_ref(), Some(&reason));
    let text = reason.to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&found.to_string()));
    device.wait(600_000);
    assert_eq!(device.connects, 1, "no second attempt by itself");

    device.command(Command::TrustRelay(found));
    assert_eq!(device.connects, 2);
    Peer::welcome(&mut device, welcome());
    assert!(device.engine.status().connected);
}

#[test]
fn a_relay_that_does_not_know_the_epoch_gets_the_key_log() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    let (mut peer, nonce, hello) = Peer::meet(&mut device, relay_secret());
    assert_eq!(hello.key_log, None, "the relay should have it");
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::EpochUnknown));
    let (nonce, message) = peer.receive_one(&mut device);
    let Message::Hello(again) = message else { panic!("{message:?}") };
    assert_eq!(again.key_log.unwrap().verify(&again.group_id), Ok(()));
    peer.answer(&mut device, nonce, ErrorBody::new(ErrorCode::EpochUnknown));
    assert!(!device.engine.status().connected, "it does not go on for ever");
}

#[test]
fn refusals_that_a_person_must_solve_stop_the_engine() {
    for code in [ErrorCode::Unauthenticated, ErrorCode::DeviceRevoked, ErrorCode::GroupCreationDenied] {
        let mut device = Device::new();
        device.push(b"x");
        device.command(Command::Connect);
        let flush = device.command(Command::Flush);
        let (mut peer, nonce, _) = Peer::meet(&mut device, relay_secret());
        peer.answer(&mut device, nonce, ErrorBody::new(code));
        device.wait(600_000);
        assert_eq!(device.connects, 1, "{code:?}");
        let reason = StopReason::Refused { code, message: code.to_string() };
        assert_eq!(device.reply(flush).unwrap_err(), EngineError::Stopped(reason));
        device.command(Command::Connect);
        assert_eq!(device.connects, 2, "asked by name, it tries again");
    }
}

#[test]
fn a_downgraded_relay_is_refused() {
    let (mut device, _) = online();
    device.input(Input::Closed(None));
    device.wait(1_000);
    Peer::welcome(&mut device, Welcome { version: 0, ..welcome() });
    assert_eq!(device.engine.status().stopped, Some(StopReason::Downgraded { found: 0, floor: 1 }));
}

#[test]
fn what_is_garbage_ends_the_connection_and_another_one_is_made() {
    let (mut device, _) = online();
    device.input(Input::Frame(vec![1, 2, 3]));
    assert_eq!(device.take_events(), [Event::RelayMisbehaved, Event::Disconnected { stopped: None }]);
    let before = device.connects;
    device.wait(1_000);
    assert_eq!(device.connects, before + 1);
}

#[test]
fn a_silent_relay_is_asked_and_then_left() {
    let (mut device, mut peer) = online();
    device.wait(29_000);
    assert!(device.sent.is_empty());
    device.wait(1_500);
    let (nonce, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Presence(Presence::Own(1)));
    peer.answer(&mut device, nonce, Presence::Own(1));
    device.wait(25_000);
    assert!(device.engine.status().connected);
    device.wait(5_500);
    peer.receive_one(&mut device);
    device.wait(10_500);
    assert!(!device.engine.status().connected, "nobody answered within ten seconds");
}

#[test]
fn a_machine_that_slept_asks_at_once() {
    let (mut device, mut peer) = online();
    // The steady clock stands still while the machine sleeps; the wall clock does not.
    let mut now = device.now();
    now.unix = UnixMs(now.unix.0 + 3_600_000);
    device.engine.handle(now, Input::Tick);
    device.input(Input::Tick);
    let (_, message) = peer.receive_one(&mut device);
    assert_eq!(message, Message::Presence(Presence::Own(1)));
}

#[test]
fn what_came_before_a_sleep_is_no_sign_that_the_relay_is_still_there() {
    let (mut device, mut peer) = online();
    let mut now = device.now();
    now.unix = UnixMs(now.unix.0 + 3_600_000);
    device.engine.handle(now, Input::Tick);
    // It lay in the socket.
    let device_id = RelaySecret::from_bytes([9; 32]).key().into();
    peer.say(&mut device, Presence::Peer(PeerPresence { device_id, status: 0, last_seen: UnixMs(1) }));
    device.wait(10_500);
    assert!(!device.engine.status().connected, "nobody answered within ten seconds");
}

#[test]
fn attempts_back_off_to_a_minute_and_a_wake_up_tries_at_once() {
    let mut device = Device::new();
    device.push(b"x");
    device.command(Command::Connect);
    let mut longest = 0;
    for _ in 0..40 {
        let before = device.ms;
        let connects = device.connects;
        device.input(Input::Closed(None));
        while device.connects == connects {
            device.ms = device.engine.poll_timeout().unwrap().0;
            device.input(Input::Tick);
        }
        longest = longest.max(device.ms - before);
    }
    assert!((20_000..=60_000).contains(&longest), "{longest}");
    device.input(Input::Closed(None));
    let connects = device.connects;
    device.input(Input::Woke);
    assert_eq!(device.connects, connects + 1);
}

#[test]
fn a_replaced_connection_stays_away_for_a_minute() {
    let (mut device, _) = online();
    let connects = device.connects;
    device.input(Input::Closed(Some(ErrorCode::Replaced.close_code())));
    device.wait(59_000);
    assert_eq!(device.connects, connects);
    device.wait(3_000);
    assert_eq!(device.connects, connects + 1);
}

#[test]
fn commands_that_need_the_relay_say_why_they_cannot_be_done() {
    let mut device = Device::new();
    let id = device.command(Command::Devices);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NoGroup);
    device.push(b"x");
    let id = device.command(Command::Devices);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NotConnected);
    device.command(Command::Connect);
    let id = device.command(Command::Devices);
    device.input(Input::Closed(None));
    assert_eq!(device.reply(id).unwrap_err(), EngineError::Unreachable);
}

#[test]
fn who_connects_hears_how_it_went() {
    let mut device = Device::new();
    let id = device.command(Command::Connect);
    assert!(device.reply(id).is_ok(), "there is nothing to connect for without a group");
    device.push(b"x");
    let first = device.command(Command::Connect);
    let late = device.command(Command::Connect);
    device.input(Input::Closed(None));
    // An attempt made before the first was asked for had begun already.
    assert_eq!(device.connects, 2);
    assert!(!device.replies.contains_key(&first) && !device.replies.contains_key(&late));
    device.input(Input::Closed(None));
    assert_eq!(device.reply(first).unwrap_err(), EngineError::Unreachable);
    assert_eq!(device.reply(late).unwrap_err(), EngineError::Unreachable);
    let again = device.command(Command::Connect);
    assert_eq!(device.connects, 3);
    Peer::welcome(&mut device, welcome());
    assert!(device.reply(again).is_ok());
    let id = device.command(Command::Connect);
    assert!(device.reply(id).is_ok());

    device.input(Input::Closed(None));
    let id = device.command(Command::Connect);
    device.command(Command::Disconnect);
    assert_eq!(device.reply(id).unwrap_err(), EngineError::NotConnected);
}

#[test]
fn a_close_code_from_outside_the_channel_stops_nothing() {
    for code in [ErrorCode::DeviceRevoked, ErrorCode::Unauthenticated, ErrorCode::GroupDeleted] {
        let (mut device, _) = online();
        for _ in 0..3 {
            let connects = device.connects;
            device.input(Input::Closed(Some(code.close_code())));
            assert_eq!(device.engine.status().stopped, None);
            device.wait(60_000);
            assert!(device.connects > connects, "{code:?}");
        }
    }
}
