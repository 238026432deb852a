//! `codec.json`: envelopes and messages.

use serde_json::Value;
use sync_types::{DecodeError, Envelope, Message, Nonce};

use crate::derived;
use crate::describe::{fields, header};
use crate::file::{Cases, Check, FILES, bytes, hex, number, refused, same, str, unhex};

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let messages = cases.root["messages"].as_array().ok_or("no messages")?;
    for message in messages {
        let code = u8::try_from(number(message, "code")?).map_err(|e| e.to_string())?;
        cases.each(&message["accepted"], |case| accepted(code, str(message, "type")?, case))?;
        cases.each(&message["refused"], |case| {
            refused(case, Message::decode_body(code, &bytes(case, "bytes")?))
        })?;
    }
    let envelopes = &cases.root["envelopes"];
    cases.each(&envelopes["accepted"], envelope_accepted)?;
    cases.each(&envelopes["refused"], |case| refused(case, Envelope::open(&bytes(case, "bytes")?)))?;
    cases.each(&envelopes["answerable"], envelope_answerable)
}

fn accepted(code: u8, name: &str, case: &Value) -> Check {
    let bytes = bytes(case, "bytes")?;
    let message = Message::decode_body(code, &bytes).map_err(|e| format!("refused as {e:?}"))?;
    same("the type", message.name(), name)?;
    same("the code", message.msg_type(), code)?;
    same("the message", fields(&message), expand(&case["fields"])?)?;
    same("encoded again, it", hex(&message.encode_body()), hex(&bytes))?;
    derived::check(&bytes, |wrong| Message::decode_body(code, wrong).map(drop))
}

fn envelope_accepted(case: &Value) -> Check {
    let bytes = bytes(case, "bytes")?;
    let (envelope, message) = Envelope::open(&bytes).map_err(|e| format!("refused as {e:?}"))?;
    let message = message.map_err(|e| format!("its body is refused as {e:?}"))?;
    same("the header", header(&envelope), expand(&case["header"])?)?;
    same("the message", fields(&message), expand(&case["fields"])?)?;
    let Envelope { sender_id, group_id, timestamp, nonce, .. } = envelope;
    let again = Envelope::seal(&message, sender_id, group_id, timestamp, nonce);
    same("encoded again, it", hex(&again), hex(&bytes))?;
    derived::check(&bytes, |wrong| Envelope::open(wrong).map(drop))
}

/// A sound envelope around a body that is not: it can be answered, with the nonce of the request.
fn envelope_answerable(case: &Value) -> Check {
    let opened = Envelope::open(&bytes(case, "bytes")?);
    let (envelope, message) = opened.map_err(|e| format!("refused altogether, as {e:?}"))?;
    same("the nonce", envelope.nonce, Nonce(crate::file::array(case, "nonce")?))?;
    refused(case, message)
}

/// Writes out what the file abbreviates: `07*300`, and a list as `{item, times}`.
fn expand(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) if text.contains('*') => Value::String(hex(&unhex(text)?)),
        Value::Array(list) => Value::Array(list.iter().map(expand).collect::<Result<_, _>>()?),
        Value::Object(object) => match (object.get("item"), object.get("times").and_then(Value::as_u64)) {
            (Some(item), Some(times)) => (0..times).map(|_| expand(item)).collect::<Result<_, _>>()?,
            _ => {
                let expand = |(k, v): (&String, &Value)| Ok::<_, String>((k.clone(), expand(v)?));
                Value::Object(object.iter().map(expand).collect::<Result<_, _>>()?)
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    })
}

/// The type numbers that `Message` knows.
pub fn known_types() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(|code| Message::decode_body(*code, &[]) != Err(DecodeError::UnknownType))
}

/// The type numbers for which there are accepted and refused bytes.
pub fn covered_types() -> Result<Vec<u8>, String> {
    let file = FILES[0].json()?;
    let messages = file["messages"].as_array().ok_or("no messages")?;
    let has = |message: &Value, list: &str| message[list].as_array().is_some_and(|l| !l.is_empty());
    Ok(messages
        .iter()
        .filter(|message| has(message, "accepted") && has(message, "refused"))
        .filter_map(|message| message["code"].as_u64()?.try_into().ok())
        .collect())
}
