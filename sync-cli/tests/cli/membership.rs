use serde_json::Value;

use crate::device::{Device, texts};
use crate::relay::Relay;

fn id(device: &Device) -> String {
    device.json(&["status"])["device_id"].as_str().unwrap().to_owned()
}

/// A device that a member has let in.
fn join(relay: &Relay, member: &Device, name: &str) -> Device {
    let joiner = Device::new(&relay.url(), name);
    let code = member.json(&["pair", "--create"])["code"].as_str().unwrap().to_owned();
    joiner.json(&["pair", "--join", &code]);
    joiner
}

#[test]
fn a_device_is_removed_by_its_name_and_is_told_so_and_the_others_go_on() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let c = join(&relay, &a, "tablet");
    a.json(&["push", "before"]);
    assert_eq!(texts(&c.json(&["pull"])), ["before"]);

    let asked = a.run(&["remove", "tablet"]);
    assert_eq!((asked.code, asked.stdout.as_str()), (2, ""), "a script has to say that it means it");
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let removed = a.json(&["remove", "tablet", "--yes"]);
    assert_eq!((removed["removed"].as_str(), &removed["epoch"]), (Some(id(&c).as_str()), &1.into()));
    let gone = c.run(&["pull"]);
    assert_eq!(gone.code, 6, "{}", gone.stderr);
    assert!(gone.stderr.contains("removed from the group"), "{}", gone.stderr);
    assert_eq!(c.run(&["--json", "push", "from outside"]).code, 6);
    assert_eq!(c.run(&["watch"]).code, 6);
    assert_eq!(c.json(&["status"])["connected"], false);

    a.json(&["push", "after"]);
    let pulled = b.run(&["pull"]);
    assert!(pulled.stdout.contains("before") && pulled.stdout.contains("after"), "{}", pulled.stdout);
    let told = format!("the device {} was removed from the group by {}", &id(&c)[..8], &id(&a)[..8]);
    assert!(pulled.stderr.contains(&told), "{}", pulled.stderr);
    assert!(pulled.stderr.contains("make a new recovery file"), "{}", pulled.stderr);
    let of = |device: &Device| device.json(&["status"])["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(of(&a), of(&b));
    assert_eq!(removed["fingerprint"], of(&a));
    assert_eq!(a.json(&["devices"])["devices"].as_array().unwrap().len(), 2);
    assert_eq!(texts(&join(&relay, &b, "desktop").json(&["pull"])), ["before", "after"]);
}

#[test]
fn a_device_is_removed_by_the_beginning_of_its_id_and_with_its_history_if_that_is_wanted() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let twin = join(&relay, &a, "phone");
    a.json(&["push", "before"]);
    let ambiguous = a.run(&["remove", "phone", "--yes"]);
    assert_eq!(ambiguous.code, 2);
    assert!(ambiguous.stderr.contains(&id(&b)[..8]) && ambiguous.stderr.contains(&id(&twin)[..8]));
    for nobody in ["nobody", ""] {
        assert_eq!(a.run(&["remove", nobody, "--yes"]).code, 2, "{nobody}");
    }
    let itself = a.run(&["remove", "laptop", "--yes"]);
    assert_eq!(itself.code, 2);
    assert!(itself.stderr.contains("sync-cli leave"), "{}", itself.stderr);

    let removed = a.run(&["remove", &id(&twin)[..10], "--yes", "--forget-history"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert!(removed.stdout.starts_with(&format!("phone ({}) was removed.", &id(&twin)[..8])));
    assert!(removed.stdout.contains("number 1"), "{}", removed.stdout);
    a.json(&["push", "after"]);
    assert_eq!(texts(&join(&relay, &a, "desktop").json(&["pull"])), ["after"]);
    assert_eq!(texts(&b.json(&["pull"])), ["before", "after"]);
}

#[test]
fn the_key_can_be_changed_without_removing_anybody() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    assert_eq!(a.json(&["rotate"])["epoch"], 1);
    assert!(a.run(&["rotate", "--forget-history"]).stdout.starts_with("The group has a new key."));
    b.json(&["push", "still here"]);
    assert_eq!(texts(&a.json(&["pull"])), ["still here"]);
    assert_eq!((&a.json(&["status"])["epoch"], &b.json(&["status"])["epoch"]), (&2.into(), &2.into()));
}

#[test]
fn devices_show_who_is_where_and_what_can_be_typed_to_remove_them() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let _watching = b.start(&["watch"]);
    let is_online = |devices: &Value| {
        devices["devices"].as_array().unwrap().iter().all(|device| device["online"] == true)
    };
    while !is_online(&a.json(&["devices"])) {}
    let devices = a.json(&["devices"]);
    let phone =
        devices["devices"].as_array().unwrap().iter().find(|device| device["name"] == "phone").unwrap();
    let keys: Vec<_> = phone.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["acked_cursor", "device_id", "last_seen", "member", "name", "online", "platform", "this_device"];
    assert_eq!(keys, expected);
    assert_eq!((&phone["member"], &phone["this_device"]), (&true.into(), &false.into()));
    let shown = a.run(&["devices"]).stdout;
    let line = shown.lines().find(|line| line.contains("phone")).unwrap();
    assert!(line.starts_with(&id(&b)[..8]) && line.contains("online") && line.contains("linux"), "{line}");
    assert!(shown.lines().any(|line| line.contains("laptop") && line.contains("this device")), "{shown}");
}

#[test]
fn who_leaves_is_gone_here_and_there_and_without_the_relay_nothing_is_erased() {
    let mut relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    assert_eq!(b.run(&["leave"]).code, 2, "a script has to say that it means it");
    relay.kill();
    let refused = b.run(&["leave", "--yes"]);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("nothing was erased"), "{}", refused.stderr);
    relay.restart();
    b.json(&["push", "last words"]);
    assert_eq!(b.json(&["leave", "--yes"])["left"], true);
    let none = b.run(&["status"]);
    assert!(none.code == 2 && none.stderr.contains("sync-cli init"), "{}", none.stderr);
    let pulled = a.run(&["pull"]);
    assert!(pulled.stdout.contains("last words"), "{pulled:?}");
    assert!(pulled.stderr.contains("left the group"), "{}", pulled.stderr);
    assert_eq!(a.json(&["devices"])["devices"].as_array().unwrap().len(), 1);
    assert_eq!(Device::new(&relay.url(), "alone").run(&["leave", "--yes"]).code, 2, "there is no group");
}

#[test]
fn a_group_is_erased_for_everybody_and_a_device_only_here() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    a.json(&["push", "text"]);
    let group_id = a.json(&["status"])["group_id"].clone();
    assert_eq!(a.run(&["delete-group"]).code, 2);
    assert_eq!(a.json(&["delete-group", "--yes"])["deleted"], group_id);
    for device in [&a, &b] {
        let gone = device.run(&["pull"]);
        assert!(gone.code == 6 && gone.stderr.contains("deleted"), "{}", gone.stderr);
    }
    assert_eq!(b.run(&["wipe"]).code, 2);
    assert_eq!(b.json(&["wipe", "--yes"])["wiped"], true);
    assert!(!b.home().join("client.db").exists() && !b.home().join("client.key").exists());
    assert_eq!(b.run(&["wipe", "--yes"]).code, 2, "there is nothing to wipe");
    b.json(&["init", "--relay", &relay.url()]);
}

#[test]
fn a_recovery_file_and_six_words_bring_a_lost_group_back() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    a.json(&["push", "remember me"]);
    let file = a.home().join("recovery");
    let path = file.to_str().unwrap();
    let nowhere = a.run(&["recovery", "export", path]);
    assert_eq!(nowhere.code, 2, "there is no terminal");
    assert!(nowhere.stderr.contains("--json") && !file.exists(), "{}", nowhere.stderr);
    let exported = a.json(&["recovery", "export", path]);
    let words = exported["phrase"].as_str().unwrap();
    assert_eq!((words.split(' ').count(), &exported["epoch"]), (6, &0.into()));
    let again = a.run(&["--json", "recovery", "export", path]);
    assert!(again.code == 2 && again.stderr.contains("exists already"), "{}", again.stderr);

    let c = Device::none();
    c.json(&["init", "--name", "new laptop"]);
    let mistyped = c.run_with(&["recovery", "import", path], "one two three");
    assert_eq!(mistyped.code, 2);
    assert!(mistyped.stderr.contains("6 words"), "{}", mistyped.stderr);
    let imported = c.run_with(&["--json", "recovery", "import", path], format!("{words}\n"));
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    assert!(imported.stdout.contains(a.json(&["status"])["group_id"].as_str().unwrap()));
    assert_eq!(texts(&c.json(&["pull"])), ["remember me"]);
    for lost in [&a, &b] {
        c.json(&["remove", &id(lost), "--yes"]);
        assert_eq!(lost.run(&["pull"]).code, 6);
    }

    // The file is of an old key now.
    let d = Device::new(&relay.url(), "too late");
    let stale = d.run_with(&["recovery", "import", path], words);
    assert!(stale.code == 4 && stale.stderr.contains("newer recovery file"), "{}", stale.stderr);
}

#[test]
fn a_passphrase_makes_one_group_of_two_devices_and_a_weak_one_says_what_is_better() {
    let relay = Relay::start();
    let (a, b) = (Device::new(&relay.url(), "laptop"), Device::new(&relay.url(), "phone"));
    let weak = a.run_with(&["pair", "--passphrase", "home"], "password1234\n");
    assert_eq!((weak.code, weak.stdout.as_str()), (2, ""));
    assert!(weak.stderr.contains("random key") && weak.stderr.contains("invite"), "{}", weak.stderr);
    assert!(!weak.stderr.contains("password1234"));
    let join = |device: &Device, passphrase: &str| -> Value {
        let ended = device.run_with(&["--json", "pair", "--passphrase", "home"], passphrase);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let first = join(&a, "orbit walnut staple quiz\n");
    assert_eq!(join(&b, "orbit walnut staple quiz")["group_id"], first["group_id"]);
    assert_eq!(a.json(&["status"])["fingerprint"], first["fingerprint"]);
    a.json(&["push", "shared"]);
    assert_eq!(texts(&b.json(&["pull"])), ["shared"]);
    let c = Device::new(&relay.url(), "tablet");
    assert_ne!(join(&c, "orbit walnut staple quit\n")["group_id"], first["group_id"]);
    assert_eq!(a.run_with(&["pair", "--passphrase", "home"], "orbit walnut staple quiz").code, 2);
}

#[test]
fn what_a_relay_lost_twice_in_a_day_comes_back_when_a_person_says_so() {
    let mut relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    a.json(&["push", "kept"]);
    let mut lose = || {
        relay.kill();
        relay.delete_database();
        relay.restart();
    };
    lose();
    assert!(a.run(&["pull"]).stderr.contains("the relay started over"));
    a.json(&["flush"]);
    lose();
    let refused = a.run(&["--json", "push", "waits, too"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stdout.contains("\"queued\":true"), "{}", refused.stdout);
    assert!(refused.stderr.contains("sync-cli restore"), "{}", refused.stderr);
    assert_eq!(a.run(&["flush"]).code, 4);
    assert_eq!(a.json(&["restore"])["pending_push"], 0);
    assert_eq!(texts(&b.json(&["pull"])), ["kept", "waits, too"]);
}
