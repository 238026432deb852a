//! What a webview gets, in the words of `sync-client-wasm`.

use data_encoding::HEXLOWER;
use serde::Serialize;
use sync_client::{BlobId, DeviceInfo, Status};

use crate::Error;
use crate::events::Told;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusValue {
    /// Grows with each other status: the greater one is the newer one, whichever comes first.
    pub(crate) revision: u64,
    connection: &'static str,
    stopped: Option<ErrorValue>,
    device_id: String,
    name: String,
    group_id: Option<String>,
    relay: Option<String>,
    relay_key: Option<String>,
    last_cursor: u64,
    max_cursor: u64,
    epoch: Option<u32>,
    fingerprint: Option<String>,
    pending_push: usize,
    default_ttl: Option<u32>,
}

impl StatusValue {
    pub(crate) fn of(status: &Status, wanted: bool, revision: u64) -> Self {
        let connection = if status.connected {
            "online"
        } else if status.stopped.is_some() {
            "stopped"
        } else if wanted && status.group_id.is_some() && status.relay.is_some() {
            "connecting"
        } else {
            "off"
        };
        Self {
            revision,
            connection,
            stopped: status.stopped.clone().map(ErrorValue::of),
            device_id: status.device_id.to_string(),
            name: status.name.as_str().to_owned(),
            group_id: status.group_id.map(|id| id.to_string()),
            relay: status.relay.as_ref().map(|relay| relay.as_str().to_owned()),
            relay_key: status.relay_key.map(|key| key.to_string()),
            last_cursor: status.last_cursor.get(),
            max_cursor: status.max_cursor.get(),
            epoch: status.epoch,
            fingerprint: status.fingerprint.clone(),
            pending_push: status.pending_push,
            default_ttl: status.default_ttl,
        }
    }
}

/// An error that is told, and not thrown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorValue {
    code: &'static str,
    message: String,
}

impl ErrorValue {
    pub(crate) fn of(error: impl Into<sync_client::Error>) -> Self {
        let error = Error::from(error.into());
        Self { code: error.code(), message: error.to_string() }
    }
}

/// An event, and how things stand when it is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventValue {
    #[serde(flatten)]
    pub(crate) told: Told,
    pub(crate) status: StatusValue,
}

/// A device that is open: how things stand, and what nobody has heard yet.
#[derive(Debug, Serialize)]
pub(crate) struct OpenedValue {
    pub(crate) status: StatusValue,
    pub(crate) missed: Vec<Told>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceValue {
    device_id: String,
    name: Option<String>,
    platform: Option<String>,
    acked_cursor: u64,
    last_seen: u64,
    online: bool,
    this_device: bool,
    member: bool,
}

impl From<DeviceInfo> for DeviceValue {
    fn from(device: DeviceInfo) -> Self {
        Self {
            device_id: device.device_id.to_string(),
            name: device.name.map(|name| name.as_str().to_owned()),
            platform: device.platform,
            acked_cursor: device.acked_cursor.get(),
            last_seen: device.last_seen.0,
            online: device.online,
            this_device: device.this_device,
            member: device.member,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InviteValue {
    pub(crate) id: u32,
    pub(crate) code: String,
    pub(crate) link: String,
    /// Without its scheme.
    pub(crate) app_url: String,
    pub(crate) expires_at: u64,
}

pub(crate) fn blob_id(id: BlobId) -> String {
    HEXLOWER.encode(&id.0)
}
