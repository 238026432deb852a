//! What the engine says, as JavaScript gets it: plain objects, which can be sent to other tabs.

use js_sys::{Array, Uint8Array};
use sync_engine::{Blob, Break, DeviceInfo, Event, Page, PageEnd, Refused, Status};
use sync_types::{BlobId, Cursor, DeviceId, UnixMs};
use wasm_bindgen::JsValue;

use crate::Error;
use crate::browser::object;
use crate::error::refusal;
use crate::request::Outcome;

const NO_CURSOR: Error = Error::Argument("a cursor is a whole number from 0 to 2^53 - 1");

/// A cursor of JavaScript's, checked.
pub(crate) fn read_cursor(number: f64) -> Result<Cursor, Error> {
    if number.fract() != 0.0 || !(0.0..=9_007_199_254_740_991.0).contains(&number) {
        return Err(NO_CURSOR);
    }
    Cursor::new(number as u64).ok_or(NO_CURSOR)
}

pub(crate) fn cursor(cursor: Cursor) -> JsValue {
    // Exact: a cursor is a safe integer.
    JsValue::from(cursor.get() as f64)
}

pub(crate) fn blob_id(id: BlobId) -> JsValue {
    base16ct::lower::encode_string(&id.0).into()
}

pub(crate) fn read_blob_id(text: &str) -> Option<BlobId> {
    BlobId::from_slice(&base16ct::lower::decode_vec(text).ok()?)
}

pub(crate) fn time(at: UnixMs) -> JsValue {
    JsValue::from(at.0 as f64)
}

/// The end of a page that a tab has: both numbers, or nothing.
pub(crate) fn read_page_end(generation: Option<u32>, cursor: Option<f64>) -> Result<Option<PageEnd>, Error> {
    let (Some(generation), Some(cursor)) = (generation, cursor) else { return Ok(None) };
    Ok(Some(PageEnd { generation, cursor: read_cursor(cursor)? }))
}

pub(crate) fn page(page: &Page) -> JsValue {
    object([
        ("blobs", page.blobs.iter().map(blob).collect::<Array>().into()),
        ("maxCursor", cursor(page.max_cursor)),
        ("hasMore", page.has_more.into()),
        ("generation", page.generation.into()),
    ])
}

fn blob(blob: &Blob) -> JsValue {
    object([
        ("cursor", cursor(blob.cursor)),
        ("blobId", blob_id(blob.blob_id)),
        ("sender", device_id(blob.sender)),
        ("timestamp", time(blob.timestamp)),
        ("data", Uint8Array::from(blob.data.as_slice()).into()),
    ])
}

pub(crate) fn devices(devices: &[DeviceInfo]) -> JsValue {
    devices.iter().map(device).collect::<Array>().into()
}

fn device(device: &DeviceInfo) -> JsValue {
    object([
        ("deviceId", device_id(device.device_id)),
        ("name", text_or_null(device.name.as_ref().map(|name| name.as_str()))),
        ("platform", text_or_null(device.platform.as_deref())),
        ("ackedCursor", cursor(device.acked_cursor)),
        ("lastSeen", time(device.last_seen)),
        ("online", device.online.into()),
        ("thisDevice", device.this_device.into()),
        ("member", device.member.into()),
    ])
}

/// The status, as far as the engine and the store know it.
pub(crate) fn status(status: &Status, wanted: bool, full: bool) -> JsValue {
    let stopped = status.stopped.clone().map(Error::from);
    let connection = if status.connected {
        "online"
    } else if stopped.is_some() {
        "stopped"
    } else if wanted && status.group_id.is_some() && status.relay.is_some() {
        "connecting"
    } else {
        "off"
    };
    object([
        ("connection", connection.into()),
        ("stopped", stopped.map_or(JsValue::NULL, |error| error.to_js())),
        ("deviceId", device_id(status.device_id)),
        ("name", status.name.as_str().into()),
        ("groupId", text_or_null(status.group_id.map(|id| id.to_string()).as_deref())),
        ("relay", text_or_null(status.relay.as_ref().map(|relay| relay.as_str()))),
        ("relayKey", text_or_null(status.relay_key.map(|key| key.to_string()).as_deref())),
        ("lastCursor", cursor(status.last_cursor)),
        ("maxCursor", cursor(status.max_cursor)),
        ("epoch", status.epoch.map_or(JsValue::NULL, JsValue::from)),
        ("fingerprint", text_or_null(status.fingerprint.as_deref())),
        ("pendingPush", JsValue::from(status.pending_push as f64)),
        ("defaultTtl", status.default_ttl.map_or(JsValue::NULL, JsValue::from)),
        ("storage", if full { "full" } else { "ok" }.into()),
    ])
}

/// An event's name and what it tells.
pub(crate) fn event(event: &Event) -> (&'static str, JsValue) {
    match event {
        Event::Connected => ("connected", object([])),
        Event::Disconnected { stopped } => {
            let stopped = stopped.clone().map_or(JsValue::NULL, |reason| Error::from(reason).to_js());
            ("disconnected", object([("stopped", stopped)]))
        }
        Event::BlobAvailable { cursor: at, blob_id: id, sender } => (
            "blobAvailable",
            object([("cursor", cursor(*at)), ("blobId", blob_id(*id)), ("sender", device_id(*sender))]),
        ),
        Event::PushAcked { blob_id: id, cursor: at } => {
            ("pushAcked", object([("blobId", blob_id(*id)), ("cursor", cursor(*at))]))
        }
        Event::PushRejected { blob_id: id, code } => {
            ("pushRejected", object([("blobId", blob_id(*id)), ("code", refusal(*code).into())]))
        }
        Event::RelayFull { code, message } => {
            ("relayFull", object([("code", refusal(*code).into()), ("message", message.into())]))
        }
        Event::DeviceJoined { device_id: id, name, platform } => (
            "deviceJoined",
            object([
                ("deviceId", device_id(*id)),
                ("name", name.as_str().into()),
                ("platform", platform.into()),
            ]),
        ),
        Event::DeviceRemoved { device_id: id, by } => (
            "deviceRemoved",
            object([("deviceId", device_id(*id)), ("by", by.map_or(JsValue::NULL, device_id))]),
        ),
        Event::KeyRotated { epoch, by } => {
            ("keyRotated", object([("epoch", (*epoch).into()), ("by", device_id(*by))]))
        }
        Event::UnknownDevice { device_id: id } => ("unknownDevice", object([("deviceId", device_id(*id))])),
        Event::InviteMisused => ("inviteMisused", object([])),
        Event::PresenceChanged { device_id: id, online } => {
            ("presenceChanged", object([("deviceId", device_id(*id)), ("online", (*online).into())]))
        }
        Event::HistoryTruncated { up_to } => ("historyTruncated", object([("upTo", cursor(*up_to))])),
        Event::RelayReset => ("relayReset", object([])),
        Event::RestoreWaits => ("restoreWaits", object([])),
        Event::BlobRefused { cursor: at, sender, why } => (
            "blobRefused",
            object([("cursor", cursor(*at)), ("sender", device_id(*sender)), ("why", refused(*why).into())]),
        ),
        Event::ChainBroken { sender, cursor: at, how } => {
            let (name, from, to) = broken(*how);
            (
                "chainBroken",
                object([
                    ("sender", device_id(*sender)),
                    ("cursor", cursor(*at)),
                    ("how", name.into()),
                    ("from", JsValue::from(from as f64)),
                    ("to", JsValue::from(to as f64)),
                ]),
            )
        }
        Event::Forked { witness, cursor: at } => {
            ("forked", object([("witness", device_id(*witness)), ("cursor", cursor(*at))]))
        }
        Event::RotationRefused { cursor: at, sender } => {
            ("rotationRefused", object([("cursor", cursor(*at)), ("sender", device_id(*sender))]))
        }
        Event::RotationWithheld { epoch } => ("rotationWithheld", object([("epoch", (*epoch).into())])),
        Event::PushRenamed { from, to } => {
            ("pushRenamed", object([("from", blob_id(*from)), ("to", blob_id(*to))]))
        }
        Event::RelayMisbehaved => ("relayMisbehaved", object([])),
    }
}

fn refused(why: Refused) -> &'static str {
    match why {
        Refused::Unreadable => "unreadable",
        Refused::NotAMember => "notAMember",
        Refused::AfterRemoval => "afterRemoval",
    }
}

/// What is wrong with a chain, from which of the sender's blobs, up to which.
fn broken(how: Break) -> (&'static str, u64, u64) {
    match how {
        Break::Missing { from, to } => ("missing", from, to),
        Break::Altered { seq } => ("altered", seq, seq.saturating_add(1)),
        Break::Reordered { seq } => ("reordered", seq, seq.saturating_add(1)),
        Break::Repeated { seq } => ("repeated", seq, seq.saturating_add(1)),
    }
}

fn device_id(id: DeviceId) -> JsValue {
    id.to_string().into()
}

fn text_or_null(text: Option<&str>) -> JsValue {
    text.map_or(JsValue::NULL, JsValue::from)
}

/// What became of a push: its cursor or the code of its refusal.
pub(crate) fn outcome((id, result): Outcome) -> JsValue {
    let (cursor, code) = match result {
        Ok(at) => (cursor(at), JsValue::NULL),
        Err(code) => (JsValue::NULL, refusal(code).into()),
    };
    object([("blobId", blob_id(id)), ("cursor", cursor), ("code", code)])
}
