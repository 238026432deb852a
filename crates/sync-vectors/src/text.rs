//! `text.json`: what people type, press and scan.

use core::fmt::Debug;
use core::str::FromStr;

use serde_json::Value;
use sync_types::{DeviceId, InviteCode, InviteTarget, JoinLink, LookupKey, RelayAddress, RelayKey, RelayUrl};

use crate::file::{Cases, Check, bytes, hex, refused, same, str};

pub(crate) fn check(cases: &mut Cases<'_>) -> Check {
    let root = cases.root;
    each::<InviteCode>(cases, &root["invite_codes"], |code, case| {
        same("the code", hex(code.expose_bytes()), hex(&bytes(case, "bytes")?))?;
        same("its text", code.expose_text().as_str(), str(case, "canonical")?)
    })?;
    each::<JoinLink>(cases, &root["join_links"], |link, case| {
        same("the page", link.page.as_str(), str(case, "page")?)?;
        same("the relay", link.relay.as_str(), str(case, "relay")?)?;
        same("the lookup key", hex(&link.lookup.0), hex(&bytes(case, "lookup")?))?;
        same("the invite key", hex(link.key.expose_bytes()), hex(&bytes(case, "key")?))?;
        same("its text", link.expose_text().as_str(), str(case, "canonical")?)
    })?;
    each::<RelayUrl>(cases, &root["relay_urls"], |url, case| {
        same("the address", url.as_str(), str(case, "canonical")?)?;
        same("the socket's address", url.websocket().as_str(), str(case, "websocket")?)
    })?;
    each::<RelayAddress>(cases, &root["relay_addresses"], |address, case| {
        same("the address", address.url.as_str(), str(case, "url")?)?;
        let key = address.key.map(|key| hex(key.as_bytes()));
        same("the key", key.as_deref(), case["key"].as_str())?;
        same("its text", address.to_string().as_str(), str(case, "canonical")?)
    })?;
    app_urls(cases, &root["app_urls"])?;
    let lookups = &root["lookup_keys"];
    keys(cases, lookups, LookupKey::from_text, |key| key.0.to_vec(), |key| key.to_string())?;
    let ids = &root["device_ids"];
    keys(cases, ids, DeviceId::from_text, |id| id.as_bytes().to_vec(), |id| id.to_string())?;
    keys(cases, ids, RelayKey::from_text, |id| id.as_bytes().to_vec(), |id| id.to_string())
}

/// Checks texts that a type reads by `FromStr`.
fn each<'a, T: FromStr<Err: Debug> + Debug>(
    cases: &mut Cases<'a>,
    group: &'a Value,
    accepted: impl Fn(&T, &Value) -> Check,
) -> Check {
    cases.each(&group["accepted"], |case| {
        let value = str(case, "text")?.parse::<T>().map_err(|e| format!("refused as {e:?}"))?;
        accepted(&value, case)
    })?;
    cases.each(&group["refused"], |case| refused(case, str(case, "text")?.parse::<T>()))
}

fn app_urls<'a>(cases: &mut Cases<'a>, group: &'a Value) -> Check {
    cases.each(&group["accepted"], |case| {
        let text = str(case, "text")?;
        let target = InviteTarget::from_app_url(text).map_err(|e| format!("refused as {e:?}"))?;
        same("the relay", target.relay.as_str(), str(case, "relay")?)?;
        same("the relay's key", hex(target.relay_key.as_bytes()), hex(&bytes(case, "relay_key")?))?;
        same("the lookup key", hex(&target.lookup.0), hex(&bytes(case, "lookup")?))?;
        same("the invite key", hex(target.key.expose_bytes()), hex(&bytes(case, "key")?))?;
        same("its text", target.expose_app_url(str(case, "scheme")?).as_str(), str(case, "canonical")?)
    })?;
    cases.each(&group["refused"], |case| refused(case, InviteTarget::from_app_url(str(case, "text")?)))
}

/// Checks texts of plain bytes, which are accepted or not, without a reason.
fn keys<'a, T: Debug>(
    cases: &mut Cases<'a>,
    group: &'a Value,
    read: impl Fn(&str) -> Option<T>,
    raw: impl Fn(&T) -> Vec<u8>,
    text: impl Fn(&T) -> String,
) -> Check {
    cases.each(&group["accepted"], |case| {
        let value = read(str(case, "text")?).ok_or("refused")?;
        same("the bytes", hex(&raw(&value)), hex(&bytes(case, "bytes")?))?;
        same("its text", text(&value).as_str(), str(case, "canonical")?)
    })?;
    cases.each(&group["refused"], |case| match read(str(case, "text")?) {
        None => Ok(()),
        Some(value) => Err(format!("accepted as {}", text(&value))),
    })
}
