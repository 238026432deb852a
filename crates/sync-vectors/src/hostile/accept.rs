//! What must hold of whatever a decoder accepts: one function for each, for random inputs and for
//! fuzzing alike. Each panics when it does not hold, and takes any input.

use core::fmt;
use core::str::FromStr;

use sync_types::channel::{Channel, Initiator, Responder, open_one_way};
use sync_types::wire::{decode, encode};
use sync_types::{
    AuthKey, DeviceId, DeviceSecret, Envelope, InviteCode, InviteTarget, JoinLink, KeyLog, LookupKey,
    Message, RelayAddress, RelaySecret, RelayUrl, Rotation,
};

/// An envelope with a message in it is these bytes and no others.
pub fn envelope(bytes: &[u8]) {
    if let Ok((envelope, Ok(message))) = Envelope::open(bytes) {
        let Envelope { sender_id, group_id, timestamp, nonce, .. } = envelope;
        assert_eq!(Envelope::seal(&message, sender_id, group_id, timestamp, nonce), bytes);
    }
}

/// The body of a message of this type is these bytes and no others.
pub fn message(code: u8, bytes: &[u8]) {
    if let Ok(message) = Message::decode_body(code, bytes) {
        assert_eq!(message.encode_body(), bytes);
    }
}

/// A key log is these bytes and no others.
pub fn key_log(bytes: &[u8]) {
    if let Ok(value) = decode::<KeyLog>(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

/// A rotation's payload is these bytes and no others, and says what it is.
pub fn rotation(bytes: &[u8]) {
    if let Ok(rotation) = Rotation::decode(bytes) {
        assert!(Rotation::is_one(bytes));
        assert_eq!(rotation.encode(), bytes);
    }
}

/// Nothing opens under a prologue that nothing was sealed under.
pub fn one_way(bytes: &[u8]) {
    assert!(open_one_way(b"never used", &device(), bytes).is_err());
}

/// With any 32 bytes as the key, weak ones and ones that are no point among them, nothing verifies that
/// was never signed.
pub fn auth_key(bytes: &[u8]) {
    if let Some((key, rest)) = bytes.split_first_chunk() {
        let signature = rest.first_chunk().unwrap_or(&[0; 64]);
        assert_ne!(AuthKey(*key).verify(b"never signed", signature), Ok(()));
    }
}

/// What a person types comes back from what is shown.
pub fn invite_code(text: &str) {
    comes_back(text, InviteCode::expose_text);
}

/// What a person presses comes back from what is shown.
pub fn join_link(text: &str) {
    comes_back(text, JoinLink::expose_text);
}

/// An address comes back from what is shown.
pub fn relay_url(text: &str) {
    comes_back(text, RelayUrl::to_string);
}

/// An address with a key comes back from what is shown.
pub fn relay_address(text: &str) {
    comes_back(text, RelayAddress::to_string);
}

fn comes_back<T: FromStr + PartialEq + fmt::Debug>(text: &str, show: impl Fn(&T) -> String) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(show(&value).parse::<T>().ok(), Some(value));
    }
}

/// What is scanned comes back from what is drawn.
pub fn app_url(text: &str) {
    if let Ok(target) = InviteTarget::from_app_url(text) {
        assert_eq!(InviteTarget::from_app_url(&target.expose_app_url("app")), Ok(target));
    }
}

/// A lookup key comes back from its text.
pub fn lookup_key(text: &str) {
    if let Some(key) = LookupKey::from_text(text) {
        assert_eq!(LookupKey::from_text(&key.to_string()), Some(key));
    }
}

/// A device id has one text.
pub fn device_id(text: &str) {
    if let Some(id) = DeviceId::from_text(text) {
        assert_eq!(id.to_string(), text);
    }
}

/// A relay takes any first message, or refuses it.
pub fn first_message(bytes: &[u8]) {
    drop(Responder::answer(&relay(), [4; 32], bytes));
}

/// Whoever answers a device shows the relay's key only if he has it.
pub fn second_message(bytes: &[u8]) {
    if let Ok((initiator, _)) = Initiator::start(&device(), [3; 32])
        && let Ok(introduced) = initiator.read(bytes)
    {
        assert_eq!(introduced.relay_key(), relay().key());
    }
}

/// Whoever goes on where a device has begun is that device.
pub fn third_message(bytes: &[u8]) {
    if let Some([first, ..]) = handshake()
        && let Ok((responder, _)) = Responder::answer(&relay(), [4; 32], &first)
        && let Ok(channel) = responder.finish(bytes)
    {
        assert_eq!(channel.peer(), device().id());
    }
}

fn device() -> DeviceSecret {
    DeviceSecret::from_bytes([1; 32])
}

fn relay() -> RelaySecret {
    RelaySecret::from_bytes([2; 32])
}

/// Both ends of a channel, a device's and a relay's; the same each time.
pub fn connected() -> Option<(Channel, Channel)> {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).ok()?;
    let (responder, second) = Responder::answer(&relay(), [4; 32], &first).ok()?;
    let (client, third) = initiator.read(&second).ok()?.finish().ok()?;
    Some((client, responder.finish(&third).ok()?))
}

/// The three messages of the handshake that [`connected`] plays.
pub fn handshake() -> Option<[Vec<u8>; 3]> {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).ok()?;
    let (_, second) = Responder::answer(&relay(), [4; 32], &first).ok()?;
    let (_, third) = initiator.read(&second).ok()?.finish().ok()?;
    Some([first, second, third])
}
