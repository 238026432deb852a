//! Every decoder of the protocol: what it is fed, and what must hold of what it accepts.

use core::fmt;

use serde_json::Value;

use super::accept;
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

    /// Good inputs, and some that only look good.
    pub fn corpus(&self) -> &[Vec<u8>] {
        &self.corpus
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
    let mut all = vec![
        Decoder::new("Envelope", byte_strings(0), accept::envelope),
        Decoder::new("KeyLog", byte_strings(2), accept::key_log),
        Decoder::new("AuthKey", byte_strings(2), accept::auth_key).dear(),
        Decoder::new("Rotation", byte_strings(5), accept::rotation),
        Decoder::new("one way", byte_strings(5), accept::one_way).dear(),
    ];
    all.extend(known_types().map(message));
    all.extend([
        Decoder::text("InviteCode", strings(1), accept::invite_code),
        Decoder::text("JoinLink", strings(1), accept::join_link),
        Decoder::text("RelayUrl", strings(1), accept::relay_url),
        Decoder::text("RelayAddress", strings(1), accept::relay_address),
        Decoder::text("app URL", strings(1), accept::app_url),
        Decoder::text("LookupKey", strings(1), accept::lookup_key),
        Decoder::text("DeviceId", strings(1), accept::device_id),
    ]);
    all.push(frames());
    let [first, second, third] =
        accept::handshake().map_or_else(Default::default, |messages| messages.map(|message| vec![message]));
    all.extend([
        Decoder::new("first handshake message", first, accept::first_message).dear(),
        Decoder::new("second handshake message", second, accept::second_message).dear(),
        Decoder::new("third handshake message", third, accept::third_message).dear(),
    ]);
    all
}

fn message(code: u8) -> Decoder {
    Decoder::new(format!("message {code:#04x}"), bodies(code), move |bytes| accept::message(code, bytes))
}

/// What an established channel makes of frames that its peer did not send.
fn frames() -> Decoder {
    let frames = accept::connected()
        .and_then(|(mut client, _)| Some(client.seal(b"an envelope").ok()?.swap_remove(0)));
    let mut server = accept::connected().map(|(_, server)| server);
    Decoder::new("frames", frames.into_iter().collect(), move |bytes| {
        // The one good frame arrives at most once.
        if let Some(Ok(opened)) = server.as_mut().map(|server| server.open(bytes)) {
            assert_eq!(opened.as_deref(), Some(&b"an envelope"[..]));
        }
    })
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
