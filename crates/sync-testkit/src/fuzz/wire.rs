//! What crosses the wire: frames, the records in them, envelopes, messages.

use std::collections::VecDeque;

use sync_types::channel::Assembler;
use sync_types::limits::{ENVELOPE_OVERHEAD, MAX_RECORD_BODY, MAX_UNAUTHENTICATED};
use sync_types::{ChannelError, DecodeError, DeviceSecret, Envelope, GroupId, Message, Nonce, UnixMs};
use sync_vectors::hostile::accept;

use super::script::Script;

/// Most things that one input does to a channel.
const MAX_STEPS: usize = 200;

/// Handshake messages, records and whole frames, by the first byte.
pub fn frame(input: &[u8]) {
    let mut script = Script::new(input);
    match script.below(5) {
        0 => records(&mut script),
        1 => frames(&mut script),
        2 => accept::first_message(script.rest()),
        3 => accept::second_message(script.rest()),
        _ => accept::third_message(script.rest()),
    }
}

/// Whatever records a peer sends, an envelope is what they carry, and no more is held than allowed.
fn records(script: &mut Script<'_>) {
    let max = usize::from(script.byte()) * 1024;
    let mut assembler = Assembler::new(max);
    let mut expected = Vec::new();
    while !script.is_over() {
        let record = match script.below(3) {
            0 => {
                let mut full = vec![script.byte(); 1 + MAX_RECORD_BODY];
                full[0] = 0;
                full
            }
            1 => [&[1], script.chunk()].concat(),
            _ => script.chunk().to_vec(),
        };
        let flagged = !record.is_empty();
        let body = record.get(1..).unwrap_or_default().to_vec();
        match assembler.add(record) {
            Ok(envelope) => {
                expected.extend_from_slice(&body);
                if let Some(envelope) = envelope {
                    assert_eq!(envelope, std::mem::take(&mut expected));
                }
                assert_eq!(assembler.buffered(), expected.len());
                assert!(expected.len() <= max);
            }
            Err(error) => {
                let too_large = expected.len() + body.len() > max;
                assert_eq!(error == ChannelError::TooLarge, flagged && too_large);
                return;
            }
        }
    }
}

/// Whatever becomes of frames on their way, those arrive that are next and whole, and nothing else does.
fn frames(script: &mut Script<'_>) {
    let Some((mut client, mut server)) = accept::connected() else { panic!("a handshake") };
    let mut on_the_way: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
    let mut envelopes = VecDeque::new();
    let (mut sent, mut opened) = (0, 0);
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            return;
        }
        match script.below(6) {
            0 | 1 => {
                let envelope = vec![script.byte(); usize::from(script.u16())];
                for frame in client.seal(&envelope).expect("an envelope of any length") {
                    on_the_way.push_back((sent, frame));
                    sent += 1;
                }
                envelopes.push_back(envelope);
            }
            2 => drop(on_the_way.pop_front()),
            3 => on_the_way.rotate_left(usize::from(on_the_way.len() > 1)),
            4 => on_the_way.extend(on_the_way.front().cloned()),
            _ => {
                let Some((number, mut frame)) = on_the_way.pop_front() else { continue };
                let changed = script.flag();
                if changed {
                    let at = usize::from(script.u16()) % frame.len();
                    frame[at] ^= script.byte().max(1);
                }
                match server.open(&frame) {
                    Ok(envelope) => {
                        assert!(number == opened && !changed, "frame {number} opens as number {opened}");
                        opened += 1;
                        assert!(envelope.is_none_or(|envelope| envelopes.pop_front() == Some(envelope)));
                    }
                    Err(ChannelError::TooLarge) => return,
                    Err(error) => {
                        assert_eq!(error, ChannelError::Decrypt);
                        assert!(number != opened || changed, "frame {number} is next, and does not open");
                    }
                }
                assert!(server.buffered() <= MAX_UNAUTHENTICATED);
            }
        }
    }
}

/// Envelopes: what is accepted is these bytes and no others, and what is not can often be answered.
pub fn envelope(input: &[u8]) {
    accept::envelope(input);
    if let Ok((envelope, message)) = Envelope::open(input) {
        match message {
            Ok(message) => {
                assert_eq!((envelope.msg_type, envelope.cursor), (message.msg_type(), message.about()));
            }
            Err(error) => assert_ne!(error, DecodeError::UnknownVersion),
        }
    }
}

/// Messages: the first byte is the type, the rest is the body.
pub fn message(input: &[u8]) {
    let Some((code, body)) = input.split_first() else { return };
    accept::message(*code, body);
    let known = sync_vectors::known_types().any(|known| known == *code);
    match Message::decode_body(*code, body) {
        Err(error) => assert_eq!(error == DecodeError::UnknownType, !known),
        Ok(message) => {
            assert_eq!(message.msg_type(), *code);
            let sender = DeviceSecret::from_bytes([1; 32]).id();
            let bytes = Envelope::seal(&message, sender, GroupId([2; 32]), UnixMs(3), Nonce([4; 24]));
            assert!(bytes.len() < body.len() + ENVELOPE_OVERHEAD / 64, "an envelope costs {}", bytes.len());
            assert_eq!(Envelope::open(&bytes).map(|(_, opened)| opened), Ok(Ok(message)));
        }
    }
}
