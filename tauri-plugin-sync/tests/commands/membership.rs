use serde_json::json;
use tauri_plugin_sync::SyncExt;
use tauri_plugin_sync::sync_client::{DeviceId, RelayKey};
use tempfile::TempDir;

use crate::app::{COMMANDS, Device, device, plugin};
use crate::relay::Relay;

#[test]
fn an_invite_has_a_code_a_link_and_an_url_and_can_be_taken_back() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    let (first, last) = (a.invite(), a.invite());
    assert_eq!(first["code"].as_str().unwrap().len(), 19);
    assert!(first["link"].as_str().unwrap().starts_with(&format!("{}/join#v1.", relay.url())));
    assert!(first["appUrl"].as_str().unwrap().starts_with("://sync?invite="));
    let join = |invite: &serde_json::Value| b.call("join", json!({ "invite": invite }));

    a.call("revoke_invite", json!({})).unwrap();
    assert_eq!(join(&last["link"]).unwrap_err()["code"], "INVITE_NOT_FOUND");
    a.call("revoke_invite", json!({ "id": first["id"] })).unwrap();
    assert_eq!(join(&first["code"]).unwrap_err()["code"], "INVITE_NOT_FOUND");

    let third = a.invite();
    join(&json!(format!("notes{}", third["appUrl"].as_str().unwrap()))).unwrap();
    assert_eq!(join(&third["code"]).unwrap_err()["code"], "ALREADY_IN_GROUP");
    assert_eq!(a.call("revoke_invite", json!({ "id": third["id"] })).unwrap_err()["code"], "INVITE_USED");
}

#[test]
fn a_removed_device_is_told_so_and_the_others_have_a_new_key() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    let devices = a.call("devices", json!({})).unwrap();
    let mut names: Vec<_> = devices.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, ["laptop", "phone"]);

    let before = a.status();
    a.call("remove_device", json!({ "deviceId": b.status()["deviceId"] })).unwrap();
    assert_eq!(a.status()["epoch"], before["epoch"].as_u64().unwrap() + 1);
    assert_ne!(a.status()["fingerprint"], before["fingerprint"]);
    while b.status()["connection"] != "stopped" {
        b.wait_for("statusChanged");
    }
    let code = b.status()["stopped"]["code"].clone();
    assert!(code == "DEVICE_REVOKED" || code == "REMOVED", "{code}");
    a.call("rotate", json!({ "keepHistory": false })).unwrap();
    assert_eq!(a.status()["epoch"], before["epoch"].as_u64().unwrap() + 2);
    let itself = a.call("remove_device", json!({ "deviceId": a.status()["deviceId"] })).unwrap_err();
    assert_eq!(itself["code"], "REMOVES_ITSELF");
    a.call("restore", json!({})).unwrap();
}

#[test]
fn who_leaves_is_another_device_when_it_comes_back() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    let before = b.status();
    b.call("leave", json!({})).unwrap();
    let removed = a.wait_for("deviceRemoved");
    assert_eq!(removed["detail"], json!({ "deviceId": before["deviceId"], "by": null }));
    assert_eq!(b.call("exists", json!({})).unwrap(), false);
    b.open();
    a.admit(&b);
    assert_ne!(b.status()["deviceId"], before["deviceId"]);
}

#[test]
fn what_is_wiped_is_gone_and_wiping_nothing_is_no_error() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    a.push(b"never sent");
    let before = a.status();
    a.call("wipe", json!({})).unwrap();
    a.call("wipe", json!({})).unwrap();
    assert_eq!(a.call("exists", json!({})).unwrap(), false);
    a.open();
    assert_ne!(a.status()["deviceId"], before["deviceId"]);
    assert_eq!(a.status()["pendingPush"], 0);
}

#[test]
fn only_open_makes_a_device() {
    let relay = Relay::start();
    let folder = TempDir::new().unwrap();
    let a = Device::start(plugin(&relay, folder.path(), "laptop"));
    let args = json!({
        "data": "text", "cursor": 1, "invite": "0123-4567-89AB-CDEF", "deviceId": DeviceId::from_bytes([9; 32]).unwrap().to_string(),
        "key": RelayKey::from_bytes([9; 32]).unwrap().to_string(),
    });
    for command in
        COMMANDS.into_iter().filter(|command| !["open", "exists", "woke", "wipe"].contains(command))
    {
        assert_eq!(a.call(command, args.clone()).unwrap_err()["code"], "NO_DEVICE", "{command}");
    }
    assert!(tauri::async_runtime::block_on(a.app().sync().client()).is_err());
    assert_eq!(a.call("exists", json!({})).unwrap(), false);
    a.open();
    assert_eq!(a.call("exists", json!({})).unwrap(), true);
}

#[test]
fn all_windows_are_told_of_a_device_that_is_gone_after_everything_else_about_it() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    a.send(b"a group");
    let told = |what: &str| {
        let gone = a.status()["deviceId"].clone();
        // Leaving sends them.
        let pushed: Vec<_> = (0..20).map(|n| a.push(&[n])).collect();
        a.call(what, json!({})).unwrap();
        let mut events = a.events_until("ended");
        let ended = events.pop().unwrap();
        let acked = events
            .iter()
            .any(|event| event["name"] == "pushAcked" && event["detail"]["blobId"] == pushed[19]);
        assert_eq!(acked, what == "leave");
        assert_eq!(ended["detail"], json!({ "deviceId": gone }));
        assert_eq!(ended["status"]["deviceId"], gone);
        a.open();
        assert_ne!(a.status()["deviceId"], gone);
        assert!(a.status()["revision"].as_u64() > ended["status"]["revision"].as_u64());
    };
    told("leave");
    told("wipe");
}

#[test]
fn a_relay_with_another_key_is_used_once_somebody_trusts_that_key() {
    let mut relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    a.send(b"a group");
    relay.stop();
    relay.start_anew();
    loop {
        let refused = a.call("connect", json!({})).unwrap_err();
        if refused["code"] == "RELAY_KEY_CHANGED" {
            break;
        }
        assert_eq!(refused["code"], "UNREACHABLE", "an attempt may still meet the relay that is gone");
    }
    let (b, _b) = device(&relay, "phone");
    b.send(b"another group");
    let refused = a.call("trust_relay", json!({ "key": "the new one" })).unwrap_err();
    assert_eq!(refused, json!({ "code": "BAD_ARGUMENT", "message": "this is no key of a relay" }));
    a.call("trust_relay", json!({ "key": b.status()["relayKey"] })).unwrap();
    a.call("connect", json!({})).unwrap();
    assert_eq!(a.status()["relayKey"], b.status()["relayKey"]);
    a.wait_for("relayReset");
}

#[test]
fn a_group_that_is_deleted_is_gone_at_the_relay_and_stays_here() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    a.call("delete_group", json!({})).unwrap();
    while b.status()["connection"] != "stopped" {
        b.wait_for("statusChanged");
    }
    assert_eq!(b.status()["stopped"]["code"], "GROUP_DELETED");
    assert_eq!(b.call("exists", json!({})).unwrap(), true);
}

#[test]
fn rust_code_and_the_webview_use_one_device() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    tauri::async_runtime::block_on(async {
        let client = a.app().sync().open().await.unwrap();
        client.push("from Rust").await.unwrap().acked().await.unwrap();
    });
    a.wait_for("pushAcked");
    assert_eq!(b.next_page().data, [b"from Rust"]);
}
