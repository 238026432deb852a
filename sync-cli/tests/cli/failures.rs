use crate::device::{Device, texts};
use crate::relay::Relay;

#[test]
fn usage_errors_exit_2_and_say_what_to_do() {
    let relay = Relay::start();
    let none = Device::none();
    for args in [&["status"][..], &["push", "text"], &["pull"], &["pair", "--create"]] {
        let ended = none.run(args);
        assert_eq!(ended.code, 2, "{args:?}");
        assert!(ended.stderr.contains("sync-cli init"), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(none.run(&["no-such-command"]).code, 2);
    assert_eq!(none.run(&["init", "--relay", "relay.example"]).code, 2);
    let a = Device::new(&relay.url(), "laptop");
    assert_eq!(a.run(&["init"]).code, 2, "there is a device already");
    assert_eq!(a.run(&["devices"]).code, 2, "there is no group yet");
    assert_eq!(a.run(&["pair", "--join", "hello"]).code, 2);
    assert_eq!(a.run(&["pair", "--revoke"]).code, 2);
    let without_relay = Device::none();
    without_relay.json(&["init"]);
    assert_eq!(without_relay.run(&["push", "text"]).code, 2);
    assert_eq!(without_relay.run(&["pair", "--join", "0123-4567-89AB-CDEF"]).code, 2);
}

#[test]
fn a_wrong_a_used_and_a_revoked_code_exit_5_with_one_sentence() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let c = Device::new(&relay.url(), "tablet");
    let used = a.json(&["pair", "--create"])["link"].as_str().unwrap().to_owned();
    Device::new(&relay.url(), "desktop").json(&["pair", "--join", &used]);
    let revoked = b.json(&["pair", "--create"])["code"].as_str().unwrap().to_owned();
    assert_eq!(b.json(&["pair", "--revoke"])["revoked"], true);
    for code in ["0123-4567-89AB-CDEF", &used, &revoked] {
        let ended = c.run(&["pair", "--join", code]);
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""));
        assert!(
            ended.stderr.ends_with("error: no invite under this code: mistyped, used, or expired\n"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_home_that_has_a_group_does_not_use_an_invite_up() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let code = a.json(&["pair", "--create"])["code"].as_str().unwrap().to_owned();
    assert_eq!(b.run(&["pair", "--join", &code]).code, 2);
    Device::new(&relay.url(), "tablet").json(&["pair", "--join", &code]);
}

#[test]
fn a_relay_that_is_not_there_exits_3() {
    let mut relay = Relay::start();
    let (a, _b) = Device::pair(&relay.url());
    relay.kill();
    for args in [&["pull"][..], &["devices"], &["pair", "--create"]] {
        let ended = a.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{args:?}");
        assert!(ended.stderr.contains(&format!("the relay at {} cannot be reached", relay.url())));
    }
    assert_eq!(Device::new(&relay.url(), "tablet").run(&["pair", "--join", "0123-4567-89AB-CDEF"]).code, 3);
    // To ask how things stand is no failure.
    assert_eq!(a.json(&["status"])["connected"], false);
}

#[test]
fn another_relay_key_exits_4_until_it_is_trusted_by_name() {
    let mut relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    relay.kill();
    relay.put_back(&[]);
    relay.restart();
    let refused = a.run(&["pull"]);
    assert_eq!(refused.code, 4);
    let line = refused.stderr.lines().last().unwrap();
    let found = line.split_once("the relay's key is ").unwrap().1.split_once(',').unwrap().0;
    assert!(line.contains("is expected"), "it names both: {line}");
    // A push is kept, and the exit code says that somebody has to look.
    let queued = a.run(&["--json", "push", "kept"]);
    assert_eq!(queued.code, 4);
    assert!(queued.stdout.contains("\"queued\":true"));

    for device in [&a, &b] {
        device.json(&["trust-relay", found]);
    }
    assert_eq!(a.json(&["flush"])["pending_push"], 0);
    assert_eq!(texts(&b.json(&["pull"])), ["kept"]);
}
