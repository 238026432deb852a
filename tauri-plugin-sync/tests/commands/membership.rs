use serde_json::json;
use tauri_plugin_sync::SyncExt;

use crate::app::device;
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
    a.admit(&b);
    assert_ne!(b.status()["deviceId"], before["deviceId"]);
}

#[test]
fn what_is_wiped_is_gone_and_wiping_nothing_is_no_error() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    a.call("wipe", json!({})).unwrap();
    a.push(b"never sent");
    let before = a.status();
    a.call("wipe", json!({})).unwrap();
    assert_eq!(a.call("exists", json!({})).unwrap(), false);
    assert_ne!(a.status()["deviceId"], before["deviceId"]);
    assert_eq!(a.status()["pendingPush"], 0);
}

#[test]
fn rust_code_and_the_webview_use_one_device() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    tauri::async_runtime::block_on(async {
        let client = a.app().sync().client().await.unwrap();
        client.push("from Rust").await.unwrap().acked().await.unwrap();
    });
    a.wait_for("pushAcked");
    assert_eq!(b.next_page().data, [b"from Rust"]);
}
