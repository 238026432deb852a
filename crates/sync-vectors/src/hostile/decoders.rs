//! Every decoder of the protocol: what it is fed, and what must hold of what it accepts.

use core::fmt;
use core::str::FromStr;

use serde_json::Value;
use sync_types::channel::{Channel, Initiator, Responder, open_one_way};
use sync_types::wire::{Wire, decode, encode};
use sync_types::{
    AuthKey, DeviceId, DeviceSecret, Envelope, InviteCode, InviteTarget, JoinLink, KeyLog, LookupKey,
    Message, RelayAddress, RelaySecret, RelayUrl, Rotation,
};

use super::mutate::{Random, input};
use crate::codec::known_types;
use crate::file::{FILES, unhex};

/// Inputs longer than this are left out of the corpus: mutating them finds nothing more, slowly.
const MAX_CORPUS_INPUT: usize = 2048;

/// Reads an input, and panics when what it accepts is not the same bytes again.
type Accept = Box<dyn FnMut(&[u8])>;

/// Something that reads bytes of a stranger's.
pub struct Decoder {
    name: String,
    corpus: Vec<Vec<u8>>,
    dear: bool,
    accept: Accept,
}

impl Decoder {
    /// A decoder, and good inputs to start from. `accept` panics when an accepted value does not come
    /// back as the same bytes.
    pub fn new(name: impl Into<String>, corpus: Vec<Vec<u8>>, accept: impl FnMut(&[u8]) + 'static) -> Self {
        let corpus = corpus.into_iter().filter(|input| input.len() <= MAX_CORPUS_INPUT).collect();
        Self { name: name.into(), corpus, dear: false, accept: Box::new(accept) }
    }

    /// A decoder of texts.
    pub fn text(
        name: impl Into<String>,
        corpus: Vec<String>,
        mut accept: impl FnMut(&str) + 'static,
    ) -> Self {
        let corpus = corpus.into_iter().map(String::into_bytes).collect();
        Self::new(name, corpus, move |bytes| {
            // What a person pastes is text: anything else was replaced before it got here.
            accept(&String::from_utf8_lossy(bytes));
        })
    }

    /// Each input costs multiplications on a curve: it is worth fewer of them.
    pub fn dear(self) -> Self {
        Self { dear: true, ..self }
    }

    /// Its name, for [`replay`](Self::replay).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether each input costs public-key cryptography.
    pub fn is_dear(&self) -> bool {
        self.dear
    }

    /// Feeds the inputs of these numbers. `around` is called for each, and calls what it is given once:
    /// so a test can measure.
    pub fn feed(
        &mut self,
        numbers: impl Iterator<Item = u64>,
        mut around: impl FnMut(u64, &[u8], &mut dyn FnMut()),
    ) {
        let mut bytes = Vec::new();
        for number in numbers {
            input(&mut Random::new(&self.name, number), &self.corpus, &mut bytes);
            around(number, &bytes, &mut || (self.accept)(&bytes));
        }
    }

    /// Feeds one input again; gives it.
    pub fn replay(&mut self, number: u64) -> Vec<u8> {
        let mut fed = Vec::new();
        self.feed(number..number + 1, |_, input, run| {
            fed = input.to_vec();
            run();
        });
        fed
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All decoders. Whoever adds a decoder to the protocol adds it here.
pub fn decoders() -> Vec<Decoder> {
    let mut all = vec![envelope(), key_log(), auth_key(), rotation(), one_way()];
    all.extend(known_types().map(message));
    all.extend(texts());
    all.extend([frames(), first_message(), second_message(), third_message()]);
    all
}

fn envelope() -> Decoder {
    Decoder::new("Envelope", byte_strings(0), |bytes| {
        if let Ok((envelope, Ok(message))) = Envelope::open(bytes) {
            let Envelope { sender_id, group_id, timestamp, nonce, .. } = envelope;
            assert_eq!(Envelope::seal(&message, sender_id, group_id, timestamp, nonce), bytes);
        }
    })
}

fn message(code: u8) -> Decoder {
    Decoder::new(format!("message {code:#04x}"), bodies(code), move |bytes| {
        if let Ok(message) = Message::decode_body(code, bytes) {
            assert_eq!(message.encode_body(), bytes);
        }
    })
}

fn key_log() -> Decoder {
    Decoder::new("KeyLog", byte_strings(2), same_again::<KeyLog>)
}

fn rotation() -> Decoder {
    Decoder::new("Rotation", byte_strings(5), |bytes| {
        if let Ok(rotation) = Rotation::decode(bytes) {
            assert_eq!(rotation.encode(), bytes);
        }
    })
}

/// Opens under a prologue that nothing was sealed under.
fn one_way() -> Decoder {
    let open = |bytes: &[u8]| assert!(open_one_way(b"never used", &device(), bytes).is_err());
    Decoder::new("one way", byte_strings(5), open).dear()
}

/// Whether a value that is accepted encodes to what it was read from.
fn same_again<T: Wire>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

/// Verifies with any 32 bytes as the key: weak ones and ones that are no point among them.
fn auth_key() -> Decoder {
    let verify = |bytes: &[u8]| {
        if let Some((key, rest)) = bytes.split_first_chunk() {
            let signature = rest.first_chunk().unwrap_or(&[0; 64]);
            assert_ne!(AuthKey(*key).verify(b"never signed", signature), Ok(()));
        }
    };
    Decoder::new("AuthKey", byte_strings(2), verify).dear()
}

fn texts() -> Vec<Decoder> {
    fn text<T: FromStr + PartialEq + fmt::Debug + 'static>(name: &str, show: fn(&T) -> String) -> Decoder {
        Decoder::text(name, strings(1), move |text| {
            if let Ok(value) = text.parse::<T>() {
                assert_eq!(show(&value).parse::<T>().ok(), Some(value));
            }
        })
    }
    vec![
        text::<InviteCode>("InviteCode", InviteCode::expose_text),
        text::<JoinLink>("JoinLink", JoinLink::expose_text),
        text::<RelayUrl>("RelayUrl", RelayUrl::to_string),
        text::<RelayAddress>("RelayAddress", RelayAddress::to_string),
        Decoder::text("app URL", strings(1), |text| {
            if let Ok(target) = InviteTarget::from_app_url(text) {
                assert_eq!(InviteTarget::from_app_url(&target.expose_app_url("app")), Ok(target));
            }
        }),
        Decoder::text("LookupKey", strings(1), |text| {
            if let Some(key) = LookupKey::from_text(text) {
                assert_eq!(LookupKey::from_text(&key.to_string()), Some(key));
            }
        }),
        Decoder::text("DeviceId", strings(1), |text| {
            if let Some(id) = DeviceId::from_text(text) {
                assert_eq!(id.to_string(), text);
            }
        }),
    ]
}

/// What an established channel makes of frames that its peer did not send.
fn frames() -> Decoder {
    let frames =
        connected().and_then(|(mut client, _)| Some(client.seal(b"an envelope").ok()?.swap_remove(0)));
    let mut server = connected().map(|(_, server)| server);
    Decoder::new("frames", frames.into_iter().collect(), move |bytes| {
        // The one good frame arrives at most once.
        if let Some(Ok(opened)) = server.as_mut().map(|server| server.open(bytes)) {
            assert_eq!(opened.as_deref(), Some(&b"an envelope"[..]));
        }
    })
}

fn device() -> DeviceSecret {
    DeviceSecret::from_bytes([1; 32])
}

fn relay() -> RelaySecret {
    RelaySecret::from_bytes([2; 32])
}

fn connected() -> Option<(Channel, Channel)> {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).ok()?;
    let (responder, second) = Responder::answer(&relay(), [4; 32], &first).ok()?;
    let (client, third) = initiator.read(&second).ok()?.finish().ok()?;
    Some((client, responder.finish(&third).ok()?))
}

/// The three messages of the handshake that [`connected`] plays.
fn handshake() -> Option<[Vec<u8>; 3]> {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).ok()?;
    let (_, second) = Responder::answer(&relay(), [4; 32], &first).ok()?;
    let (_, third) = initiator.read(&second).ok()?.finish().ok()?;
    Some([first, second, third])
}

fn first_message() -> Decoder {
    let corpus = handshake().into_iter().map(|[first, ..]| first).collect();
    let answer = |bytes: &[u8]| drop(Responder::answer(&relay(), [4; 32], bytes));
    Decoder::new("first handshake message", corpus, answer).dear()
}

fn second_message() -> Decoder {
    let corpus = handshake().into_iter().map(|[_, second, _]| second).collect();
    let read = |bytes: &[u8]| {
        if let Ok((initiator, _)) = Initiator::start(&device(), [3; 32])
            && let Ok(introduced) = initiator.read(bytes)
        {
            assert_eq!(introduced.relay_key(), relay().key());
        }
    };
    Decoder::new("second handshake message", corpus, read).dear()
}

fn third_message() -> Decoder {
    let messages = handshake();
    let corpus = messages.iter().map(|[.., third]| third.clone()).collect();
    let finish = move |bytes: &[u8]| {
        let first = messages.as_ref().map_or(&[][..], |[first, ..]| first);
        if let Ok((responder, _)) = Responder::answer(&relay(), [4; 32], first)
            && let Ok(channel) = responder.finish(bytes)
        {
            assert_eq!(channel.peer(), device().id());
        }
    };
    Decoder::new("third handshake message", corpus, finish).dear()
}

/// Good bodies of one type.
fn bodies(code: u8) -> Vec<Vec<u8>> {
    let Ok(file) = FILES[0].json() else { return Vec::new() };
    let messages = file["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    for message in messages.iter().filter(|message| message["code"] == code) {
        walk(&message["accepted"], &mut |text| found.extend(unhex(text)));
    }
    found
}

/// Every byte string of a file.
fn byte_strings(file: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if let Ok(file) = FILES[file].json() {
        walk(&file, &mut |text| found.extend(unhex(text).ok().filter(|bytes| !bytes.is_empty())));
    }
    found
}

/// Every text of a file.
fn strings(file: usize) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(file) = FILES[file].json() {
        walk(&file, &mut |text| found.push(text.to_owned()));
    }
    found
}

fn walk(value: &Value, on_text: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => on_text(text),
        Value::Array(list) => list.iter().for_each(|value| walk(value, on_text)),
        Value::Object(object) => object.values().for_each(|value| walk(value, on_text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
