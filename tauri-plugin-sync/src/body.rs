//! Bytes between webview and Rust, as bytes where the platform lets them through.

use serde::Deserialize;
use serde_json::json;
use sync_client::{Blob, Page};
use tauri::http::HeaderMap;
use tauri::ipc::InvokeBody;

use crate::Error;
use crate::values::blob_id;

/// Says how many seconds the relay is to keep what is pushed.
pub(crate) const TTL: &str = "sync-ttl";

const NO_DATA: Error = Error::Argument("data is text or bytes");
const NO_TTL: Error = Error::Argument("ttl is a whole number from 0 to 2^32 - 1");

/// What is to be pushed, and how long it is to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) data: Vec<u8>,
    pub(crate) ttl: Option<u32>,
}

impl Push {
    /// Bytes as they are; a list of numbers, where the platform makes that of them (Android, and webviews that are
    /// kept from using Tauri's own protocol); or `{ data, ttl }`, for who calls the command by hand.
    pub(crate) fn read(body: &InvokeBody, headers: &HeaderMap) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Data {
            Text(String),
            Bytes(Vec<u8>),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Json {
            Bytes(Vec<u8>),
            Object { data: Data, ttl: Option<u32> },
        }
        let of_header = || {
            let Some(value) = headers.get(TTL) else { return Ok(None) };
            value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(NO_TTL).map(Some)
        };
        match body {
            InvokeBody::Raw(data) => Ok(Self { data: data.clone(), ttl: of_header()? }),
            InvokeBody::Json(json) => match Json::deserialize(json).map_err(|_| NO_DATA)? {
                Json::Bytes(data) => Ok(Self { data, ttl: of_header()? }),
                Json::Object { data: Data::Text(text), ttl } => Ok(Self { data: text.into_bytes(), ttl }),
                Json::Object { data: Data::Bytes(data), ttl } => Ok(Self { data, ttl }),
            },
        }
    }
}

/// A page as one run of bytes: the length of the head (4 bytes, big-endian), the head as JSON, then the data of each
/// blob, one after the other.
pub(crate) fn page(page: &Page) -> Result<Vec<u8>, Error> {
    let blob = |blob: &Blob| {
        json!({
            "cursor": blob.cursor.get(),
            "blobId": blob_id(blob.blob_id),
            "sender": blob.sender.to_string(),
            "timestamp": blob.timestamp.0,
            "len": blob.data.len(),
        })
    };
    let head = json!({
        "generation": page.generation,
        "maxCursor": page.max_cursor.get(),
        "hasMore": page.has_more,
        "blobs": page.blobs.iter().map(blob).collect::<Vec<_>>(),
    });
    let head = head.to_string();
    let head_len =
        u32::try_from(head.len()).map_err(|_| Error::Argument("a page of so many blobs is too long"))?;
    let data = page.blobs.iter().map(|blob| blob.data.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(4 + head.len() + data);
    bytes.extend(head_len.to_be_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(page.blobs.iter().flat_map(|blob| &blob.data));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_as_they_are_as_numbers_and_by_hand() {
        let headers = HeaderMap::from_iter([(TTL.parse().unwrap(), "60".parse().unwrap())]);
        let read = |body: InvokeBody| Push::read(&body, &headers).unwrap();
        assert_eq!(read(vec![0, 255].into()), Push { data: vec![0, 255], ttl: Some(60) });
        assert_eq!(read(json!([0, 255]).into()), Push { data: vec![0, 255], ttl: Some(60) });
        let by_hand = json!({ "data": "é", "ttl": 0 });
        assert_eq!(read(by_hand.into()), Push { data: "é".into(), ttl: Some(0) });
        let by_hand = json!({ "data": [7] });
        assert_eq!(read(by_hand.into()), Push { data: vec![7], ttl: None });
    }

    #[test]
    fn what_is_no_data_and_no_time_is_refused() {
        let none = HeaderMap::new();
        for body in [json!(null), json!({}), json!([256]), json!([-1]), json!({ "data": 1 }), json!("text")] {
            let refused = Push::read(&body.clone().into(), &none);
            assert_eq!(refused.unwrap_err().code(), "BAD_ARGUMENT", "{body}");
        }
        for ttl in ["", "-1", "4294967296", "soon"] {
            let headers = HeaderMap::from_iter([(TTL.parse().unwrap(), ttl.parse().unwrap())]);
            assert!(Push::read(&vec![1].into(), &headers).is_err(), "{ttl}");
        }
    }
}
