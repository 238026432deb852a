//! `channel.json`: handshakes and the frames after them, reproducible from keys and seeds.

use serde_json::Value;
use sha2::{Digest, Sha256};
use sync_types::channel::{Channel, Initiator, Responder};
use sync_types::{ChannelError, DeviceSecret, RelaySecret};

use crate::file::{Cases, Check, array, bytes, hex, number, refused, same, str, unhex};

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    cases.each(&root["accepted"], accepted)?;
    cases
        .each(&root["refused_handshakes"], |case| refused(case, Played::refused(&root["parties"], case)?))?;
    cases.each(&root["refused_frames"], |case| refused_frames(&root["parties"], case))
}

/// The keys and seeds of the two ends.
struct Parties {
    device: DeviceSecret,
    device_seed: [u8; 32],
    relay: RelaySecret,
    relay_seed: [u8; 32],
}

impl Parties {
    fn of(case: &Value) -> Result<Self, String> {
        Ok(Self {
            device: DeviceSecret::from_bytes(array(case, "device_secret")?),
            device_seed: array(case, "device_seed")?,
            relay: RelaySecret::from_bytes(array(case, "relay_secret")?),
            relay_seed: array(case, "relay_seed")?,
        })
    }
}

/// A handshake that went through.
struct Played {
    messages: [Vec<u8>; 3],
    client: Channel,
    server: Channel,
}

impl Played {
    fn through(parties: &Parties) -> Result<Self, ChannelError> {
        let (initiator, first) = Initiator::start(&parties.device, parties.device_seed)?;
        let (responder, second) = Responder::answer(&parties.relay, parties.relay_seed, &first)?;
        let (client, third) = initiator.read(&second)?.finish()?;
        let server = responder.finish(&third)?;
        Ok(Self { messages: [first, second, third], client, server })
    }

    /// Plays a handshake in which one message is the case's instead of the right one.
    fn refused(parties: &Value, case: &Value) -> Result<Result<(), ChannelError>, String> {
        let parties = Parties::of(parties)?;
        let (wrong, bytes) = (number(case, "message")?, bytes(case, "bytes")?);
        Ok(Self::with(&parties, wrong, &bytes))
    }

    fn with(parties: &Parties, wrong: u64, bytes: &[u8]) -> Result<(), ChannelError> {
        let pick = |number, right: &[u8]| if number == wrong { bytes.to_vec() } else { right.to_vec() };
        let (initiator, first) = Initiator::start(&parties.device, parties.device_seed)?;
        let (responder, second) = Responder::answer(&parties.relay, parties.relay_seed, &pick(1, &first))?;
        let (_, third) = initiator.read(&pick(2, &second))?.finish()?;
        responder.finish(&pick(3, &third)).map(drop)
    }
}

fn accepted(case: &Value) -> Check {
    let parties = Parties::of(case)?;
    same("the device id", hex(parties.device.id().as_bytes()), str(case, "device_id")?.to_owned())?;
    same("the relay's key", hex(parties.relay.key().as_bytes()), str(case, "relay_key")?.to_owned())?;
    let Played { messages, mut client, mut server } =
        Played::through(&parties).map_err(|e| format!("{e:?}"))?;
    for (name, message) in ["first", "second", "third"].into_iter().zip(messages) {
        same(name, hex(&message).as_str(), str(case, name)?)?;
    }
    let hash = str(case, "handshake_hash")?;
    same("the device's hash", hex(client.handshake_hash()).as_str(), hash)?;
    same("the relay's hash", hex(server.handshake_hash()).as_str(), hash)?;
    server.set_max_envelope(1 << 20);
    client.set_max_envelope(1 << 20);
    for sent in case["envelopes"].as_array().ok_or("no envelopes")? {
        let (from, to) = match str(sent, "from")? {
            "device" => (&mut client, &mut server),
            _ => (&mut server, &mut client),
        };
        crosses(sent, from, to)?;
    }
    Ok(())
}

/// An envelope becomes exactly these frames, and is the same again at the other end.
fn crosses(sent: &Value, from: &mut Channel, to: &mut Channel) -> Check {
    let envelope = bytes(sent, "envelope")?;
    let frames = from.seal(&envelope).map_err(|e| format!("{e:?}"))?;
    let shown: Vec<Value> = frames.iter().map(|frame| shown(frame)).collect();
    same("the frames", &Value::Array(shown), &sent["frames"])?;
    let mut arrived = None;
    for frame in &frames {
        same("an envelope before its last frame", &arrived, &None)?;
        arrived = to.open(frame).map_err(|e| format!("{e:?}"))?;
    }
    same("what arrives", arrived == Some(envelope), true)
}

/// A frame as the file has it: its bytes, or the hash of a long one.
fn shown(frame: &[u8]) -> Value {
    match frame.len() {
        0..=1000 => hex(frame).into(),
        len => format!("{len} bytes, SHA-256 {}", hex(&Sha256::digest(frame))).into(),
    }
}

/// The relay opens frames one by one; the last is refused.
fn refused_frames(parties: &Value, case: &Value) -> Check {
    let played = Played::through(&Parties::of(parties)?).map_err(|e| format!("{e:?}"))?;
    let mut server = played.server;
    let frames = case["frames"].as_array().ok_or("no frames")?;
    let frames = frames.iter().map(|frame| unhex(frame.as_str().ok_or("no text")?));
    let frames: Vec<_> = frames.collect::<Result<_, String>>()?;
    let (last, before) = frames.split_last().ok_or("no frames")?;
    for frame in before {
        server.open(frame).map_err(|e| format!("refused too early: {e:?}"))?;
    }
    refused(case, server.open(last))
}
