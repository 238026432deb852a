use serde_json::Value;

use crate::device::{Device, cursors, texts};
use crate::relay::Relay;

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn two_devices_pair_by_a_code_and_each_reads_what_the_other_sent() {
    let relay = Relay::start();
    let (a, b) = (Device::new(&relay.url(), "laptop"), Device::new(&relay.url(), "phone"));
    let invite = a.json(&["pair", "--create"]);
    assert_eq!(keys(&invite), ["code", "expires_at", "link"]);
    let joined = b.json(&["pair", "--join", invite["code"].as_str().unwrap()]);
    let status = b.json(&["status"]);
    assert_eq!(
        keys(&status),
        [
            "connected",
            "device_id",
            "epoch",
            "fingerprint",
            "group_id",
            "last_cursor",
            "max_cursor",
            "pending_push",
            "relay"
        ]
    );
    assert_eq!((&status["group_id"], &status["connected"]), (&joined["group_id"], &Value::Bool(true)));
    assert_eq!(status["relay"], relay.url());
    assert_eq!(status["pending_push"], 0);

    let first = a.json(&["push", "one"]);
    assert_eq!(keys(&first), ["blob_id", "cursor"]);
    let second = a.json(&["push", "two"]);
    assert_eq!(second["cursor"].as_u64().unwrap(), first["cursor"].as_u64().unwrap() + 1);
    let pulled = b.json(&["pull"]);
    assert_eq!(keys(&pulled), ["blobs", "has_more", "max_cursor"]);
    assert_eq!(keys(&pulled["blobs"][0]), ["blob_id", "cursor", "sender", "text", "timestamp"]);
    assert_eq!(texts(&pulled), ["one", "two"]);
    assert_eq!((&pulled["has_more"], &pulled["max_cursor"]), (&Value::Bool(false), &second["cursor"]));
    assert_eq!(pulled["blobs"][0]["sender"], a.json(&["status"])["device_id"]);
    assert!(texts(&b.json(&["pull"])).is_empty(), "what was read is not read again");
    assert!(texts(&a.json(&["pull"])).is_empty(), "one's own is not shown");

    let devices = a.json(&["devices"]);
    let mut names: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, ["laptop", "phone"]);
}

#[test]
fn it_also_speaks_to_people() {
    let relay = Relay::start();
    let a = Device::none();
    let made = a.run(&["init", "--name", "laptop", "--relay", &relay.url()]);
    assert!(made.stdout.contains("client.key"), "it says where the key is: {}", made.stdout);
    let created = a.run(&["pair", "--create"]);
    assert_eq!(
        (created.code, created.stdout.lines().count()),
        (0, 2),
        "a code and a link: {}",
        created.stdout
    );
    let link = created.stdout.lines().last().unwrap().trim_start_matches("Link").trim();

    // A link needs no relay.
    let b = Device::none();
    b.json(&["init", "--name", "phone"]);
    assert!(b.run(&["pair", "--join", link]).stdout.contains("phone joined"));
    assert!(a.run(&["push", "hello"]).stdout.starts_with("stored at cursor "));
    let pulled = b.run(&["pull"]);
    assert!(pulled.stdout.ends_with("\thello\n"), "{}", pulled.stdout);
    assert!(!pulled.stdout.contains('\u{1b}'), "no colours in a pipe");
    assert!(b.run(&["status"]).stdout.contains("connected  yes"));
    assert_eq!(b.run(&["devices"]).stdout.lines().count(), 2);
    assert!(b.run(&["completions", "bash"]).stdout.contains("sync-cli"));
}

#[test]
fn files_stdin_and_bytes_that_are_no_text_go_round() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let file = a.home().join("picture");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(&file, &bytes).unwrap();
    a.json(&["push", "--file", file.to_str().unwrap()]);
    assert_eq!(a.run_with(&["--json", "push", "-"], "from stdin\n").code, 0);
    assert_eq!(a.run_with(&["--json", "push", "-"], "").code, 0);

    let pulled = b.json(&["pull", "--after-cursor", "0"]);
    let data = pulled["blobs"][0]["data_base64"].as_str().unwrap();
    assert_eq!(data_encoding::BASE64.decode(data.as_bytes()).unwrap(), bytes);
    assert_eq!(
        (&pulled["blobs"][1]["text"], &pulled["blobs"][2]["text"]),
        (&"from stdin\n".into(), &"".into())
    );
    assert!(b.run(&["pull", "--after-cursor", "0"]).stdout.contains("--output DIR"));

    let folder = b.home().join("out");
    let pulled = b.json(&["pull", "--output", folder.to_str().unwrap()]);
    let path = pulled["blobs"][0]["file"].as_str().unwrap();
    assert!(path.ends_with(".bin"));
    assert_eq!(std::fs::read(path).unwrap(), bytes);

    std::fs::write(&file, vec![0; 1024 * 1024 + 1]).unwrap();
    let refused = a.run(&["push", "--file", file.to_str().unwrap()]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("at most 1048576 bytes"), "{}", refused.stderr);
}

#[test]
fn a_hundred_pushes_in_a_loop_wait_for_the_relay_and_a_pull_by_cursor_is_exact() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let mut stored = Vec::new();
    for n in 0..100 {
        stored.push(a.json(&["push", &format!("text {n}")])["cursor"].as_u64().expect("stored, not queued"));
    }
    assert!(stored.windows(2).all(|pair| pair[1] == pair[0] + 1), "{stored:?}");
    let after: Vec<u64> = stored.iter().copied().filter(|cursor| *cursor > 50).collect();
    assert_eq!(cursors(&b.json(&["pull", "--after-cursor", "50"])), after);
    // Twice: it moves nothing.
    let some = b.json(&["pull", "--after-cursor", "50", "--limit", "3"]);
    assert_eq!((cursors(&some), &some["has_more"]), (after[..3].to_vec(), &Value::Bool(true)));
    // By and by, each once.
    let (first, rest) = (b.json(&["pull", "--limit", "30"]), b.json(&["pull"]));
    assert_eq!([cursors(&first), cursors(&rest)].concat(), stored);
    assert_eq!(b.json(&["status"])["last_cursor"], *stored.last().unwrap());
}
