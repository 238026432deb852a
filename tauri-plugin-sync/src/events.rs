//! Events as a webview hears them.

use serde::Serialize;
use serde_json::{Value, json};
use sync_client::{Break, DeviceId, Event, Refused};

use crate::error::refusal;
use crate::values::{ErrorValue, blob_id};

/// An event's name and what it tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    name: &'static str,
    detail: Value,
    /// Whether a person should hear of it; such events come once.
    #[serde(skip)]
    pub(crate) is_warning: bool,
}

impl Told {
    pub(crate) fn status_changed() -> Self {
        Self { name: "statusChanged", detail: Value::Null, is_warning: false }
    }

    /// This device has left its group, or was erased.
    pub(crate) fn ended(device: DeviceId) -> Self {
        Self { name: "ended", detail: json!({ "deviceId": device.to_string() }), is_warning: false }
    }
}

pub(crate) fn told(event: &Event) -> Told {
    let is_warning = matches!(
        event,
        Event::UnknownDevice { .. }
            | Event::InviteMisused
            | Event::PushRejected { .. }
            | Event::HistoryTruncated { .. }
            | Event::RelayReset
            | Event::RestoreWaits
            | Event::ChainBroken { .. }
            | Event::Forked { .. }
            | Event::BlobRefused { .. }
            | Event::RotationRefused { .. }
            | Event::RotationWithheld { .. }
    );
    let (name, detail) = named(event);
    Told { name, detail, is_warning }
}

fn named(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Connected => ("connected", json!({})),
        Event::Disconnected { stopped } => {
            ("disconnected", json!({ "stopped": stopped.clone().map(ErrorValue::of) }))
        }
        Event::BlobAvailable { cursor, blob_id: id, sender } => (
            "blobAvailable",
            json!({ "cursor": cursor.get(), "blobId": blob_id(*id), "sender": sender.to_string() }),
        ),
        Event::PushAcked { blob_id: id, cursor } => {
            ("pushAcked", json!({ "blobId": blob_id(*id), "cursor": cursor.get() }))
        }
        Event::PushRejected { blob_id: id, code } => {
            ("pushRejected", json!({ "blobId": blob_id(*id), "code": refusal(*code) }))
        }
        Event::RelayFull { code, message } => {
            ("relayFull", json!({ "code": refusal(*code), "message": message }))
        }
        Event::DeviceJoined { device_id, name, platform } => (
            "deviceJoined",
            json!({ "deviceId": device_id.to_string(), "name": name.as_str(), "platform": platform }),
        ),
        Event::DeviceRemoved { device_id, by } => {
            ("deviceRemoved", json!({ "deviceId": device_id.to_string(), "by": by.map(|id| id.to_string()) }))
        }
        Event::KeyRotated { epoch, by } => ("keyRotated", json!({ "epoch": epoch, "by": by.to_string() })),
        Event::UnknownDevice { device_id } => ("unknownDevice", json!({ "deviceId": device_id.to_string() })),
        Event::InviteMisused => ("inviteMisused", json!({})),
        Event::PresenceChanged { device_id, online } => {
            ("presenceChanged", json!({ "deviceId": device_id.to_string(), "online": online }))
        }
        Event::HistoryTruncated { up_to } => ("historyTruncated", json!({ "upTo": up_to.get() })),
        Event::RelayReset => ("relayReset", json!({})),
        Event::RestoreWaits => ("restoreWaits", json!({})),
        Event::BlobRefused { cursor, sender, why } => (
            "blobRefused",
            json!({ "cursor": cursor.get(), "sender": sender.to_string(), "why": refused(*why) }),
        ),
        Event::ChainBroken { sender, cursor, how } => {
            let (how, from, to) = broken(*how);
            let (sender, cursor) = (sender.to_string(), cursor.get());
            ("chainBroken", json!({ "sender": sender, "cursor": cursor, "how": how, "from": from, "to": to }))
        }
        Event::Forked { witness, cursor } => {
            ("forked", json!({ "witness": witness.to_string(), "cursor": cursor.get() }))
        }
        Event::RotationRefused { cursor, sender } => {
            ("rotationRefused", json!({ "cursor": cursor.get(), "sender": sender.to_string() }))
        }
        Event::RotationWithheld { epoch } => ("rotationWithheld", json!({ "epoch": epoch })),
        Event::PushRenamed { from, to } => {
            ("pushRenamed", json!({ "from": blob_id(*from), "to": blob_id(*to) }))
        }
        Event::RelayMisbehaved => ("relayMisbehaved", json!({})),
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

#[cfg(test)]
mod tests {
    use sync_client::{BlobId, Cursor, ErrorCode};

    use super::*;

    #[test]
    fn what_is_said_once_and_points_to_nothing_that_could_be_asked_for_is_a_warning() {
        let lost = Event::PushRejected { blob_id: BlobId([1; 16]), code: ErrorCode::BlobTooLarge };
        for once in [lost, Event::HistoryTruncated { up_to: Cursor::ZERO }, Event::RelayReset] {
            assert!(told(&once).is_warning, "{once:?}");
        }
        for again in [Event::Connected, Event::Disconnected { stopped: None }] {
            assert!(!told(&again).is_warning, "{again:?}");
        }
    }
}
