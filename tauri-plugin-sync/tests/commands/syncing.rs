use serde_json::json;
use tempfile::TempDir;

use crate::app::{Device, device, plugin};
use crate::relay::Relay;

#[test]
fn two_apps_pair_by_code_and_each_gets_the_bytes_of_the_other() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let blob_id = a.push(&bytes);
    let acked = a.wait_for("pushAcked");
    assert_eq!(acked["detail"]["blobId"], blob_id);
    assert_eq!(acked["status"]["connection"], "online");
    a.send(b"");

    let mut found = Vec::new();
    while found.len() < 2 {
        let page = b.next_page();
        assert_eq!(page.head["blobs"][0]["sender"], a.status()["deviceId"]);
        b.call("ack", json!({ "cursor": page.head["maxCursor"] })).unwrap();
        found.extend(page.data);
    }
    assert!(found[0] == bytes && found[1].is_empty());
    b.call("push", json!({ "data": "by hand", "ttl": 60 })).unwrap();
    assert_eq!(a.next_page().data, [b"by hand"]);
}

#[test]
fn a_page_comes_again_until_the_webview_says_that_it_has_it() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    a.send(b"one");
    let first = b.next_page();
    // A page that was loaded anew knows nothing of what the one before was given.
    let again = b.pull(json!({})).unwrap();
    assert_eq!(again.data, [b"one"]);
    assert_eq!(b.call("last_cursor", json!({})).unwrap(), 0);

    let next = b.pull(json!({ "has": first.end(), "limit": 10 })).unwrap();
    assert!(next.data.is_empty());
    let cursor = b.call("last_cursor", json!({})).unwrap();
    assert_eq!(cursor, first.head["maxCursor"]);
    b.call("ack", json!({ "cursor": cursor })).unwrap();

    let whole = b.pull(json!({ "after": 0 })).unwrap();
    assert_eq!(whole.data, [b"one"]);
}

#[test]
fn an_acknowledgement_counts_for_the_log_that_its_page_is_of() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, b_folder) = device(&relay, "phone");
    a.admit(&b);
    a.send(b"one");
    let page = b.next_page();
    let mut ack = json!({ "cursor": page.head["maxCursor"], "generation": 99 });
    b.call("ack", ack.clone()).unwrap();
    assert_eq!(b.call("last_cursor", json!({})).unwrap(), 0);
    b.close();
    // The page may say so only after the app was started again.
    let again = Device::opened(plugin(&relay, b_folder.path(), "phone"));
    ack["generation"] = page.head["generation"].clone();
    again.call("ack", ack).unwrap();
    assert_eq!(again.call("last_cursor", json!({})).unwrap(), page.head["maxCursor"]);
}

#[test]
fn what_is_no_cursor_is_refused_by_code() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    for cursor in [json!(-1), json!(0.5), json!(9_007_199_254_740_992_u64), json!(1e300)] {
        let refused = [
            a.call("ack", json!({ "cursor": cursor })).unwrap_err(),
            a.pull(json!({ "after": cursor })).err().unwrap(),
            a.pull(json!({ "has": { "generation": 0, "cursor": cursor } })).err().unwrap(),
        ];
        for error in refused {
            let message = "a cursor is a whole number from 0 to 2^53 - 1";
            assert_eq!(error, json!({ "code": "BAD_ARGUMENT", "message": message }), "{cursor}");
        }
    }
    // The greatest there is: past everything, and no error.
    a.call("connect", json!({})).unwrap();
    a.send(b"a group");
    let page = a.pull(json!({ "after": 9_007_199_254_740_991_u64 })).unwrap();
    assert!(page.data.is_empty());
}

#[test]
fn errors_carry_a_code_and_words() {
    let mut relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let code = |command: &str, args| a.call(command, args).unwrap_err()["code"].clone();
    assert_eq!(code("push", json!({ "data": vec![0; (1 << 20) + 1] })), "TOO_LARGE");
    assert_eq!(code("push", json!({ "text": "no data" })), "BAD_ARGUMENT");
    assert_eq!(code("join", json!({ "invite": "hello" })), "INVITE_TEXT");
    assert_eq!(code("join", json!({ "invite": "0123-4567-89AB-CDEF" })), "INVITE_NOT_FOUND");
    assert_eq!(code("remove_device", json!({ "deviceId": "me" })), "BAD_ARGUMENT");
    assert_eq!(code("revoke_invite", json!({})), "NOTHING_TO_REVOKE");
    assert_eq!(code("revoke_invite", json!({ "id": 7 })), "NOTHING_TO_REVOKE");
    a.send(b"a group");
    relay.stop();
    a.wait_for("disconnected");
    a.push(b"waits");
    let late = a.call("flush", json!({ "timeoutMs": 0 })).unwrap_err();
    assert_eq!(late, json!({ "code": "TIMED_OUT", "message": "the relay did not answer in time" }));
    assert_eq!(a.status()["pendingPush"], 1);
}

#[test]
fn a_new_device_is_what_the_webview_says_and_else_what_was_built_in() {
    let relay = Relay::start();
    let a_folder = TempDir::new().unwrap();
    let a = Device::start(plugin(&relay, a_folder.path(), "laptop"));
    assert_eq!(a.call("exists", json!({})).unwrap(), false);
    let opened = a.call("open", json!({ "options": { "name": "Ada's" } })).unwrap();
    assert_eq!(opened["status"]["name"], "Ada's");
    assert_eq!(opened["status"]["relay"], relay.url());
    assert_eq!(opened["missed"], json!([]));
    assert_eq!(a.call("exists", json!({})).unwrap(), true);
    a.close();
    // It is the same after a start, whatever is said then.
    let again = Device::start(plugin(&relay, a_folder.path(), "another name"));
    assert_eq!(again.call("open", json!({})).unwrap()["status"]["deviceId"], opened["status"]["deviceId"]);
    assert_eq!(again.status()["name"], "Ada's");

    let (b, _b) = device(&relay, "phone");
    assert_eq!(b.status()["name"], "phone");
    let c_folder = TempDir::new().unwrap();
    let c = Device::start(plugin(&relay, c_folder.path(), "tablet"));
    let refused = c.call("open", json!({ "options": { "relay": "ftp://relay" } })).unwrap_err();
    assert_eq!(refused["code"], "BAD_ARGUMENT");
    assert_eq!(c.call("exists", json!({})).unwrap(), false);
}

#[test]
fn a_device_connects_when_the_app_starts_and_stays_away_when_told() {
    let relay = Relay::start();
    let (a, a_folder) = device(&relay, "laptop");
    a.send(b"a group");
    assert_eq!(a.status()["connection"], "online");
    a.call("disconnect", json!({})).unwrap();
    assert_eq!(a.status()["connection"], "off");
    a.close();

    let again = Device::start(plugin(&relay, a_folder.path(), "laptop"));
    again.wait_for("connected");
    again.close();

    let manual = Device::start(plugin(&relay, a_folder.path(), "laptop").auto_connect(false));
    assert_eq!(manual.status()["connection"], "off");
    assert_eq!(manual.call("devices", json!({})).unwrap_err()["code"], "NOT_CONNECTED");
    manual.call("connect", json!({})).unwrap();
    assert_eq!(manual.call("devices", json!({})).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn a_newer_status_has_a_greater_revision() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let before = a.status();
    assert_eq!(a.status(), before, "nothing has happened");
    a.push(b"one");
    let after = a.status();
    assert!(after["revision"].as_u64() > before["revision"].as_u64());
    a.call("flush", json!({})).unwrap();
    let told = a.wait_for("pushAcked")["status"].clone();
    assert_eq!(told["pendingPush"], 0);
    assert!(told["revision"].as_u64() > after["revision"].as_u64());
}
