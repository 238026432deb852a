use crate::device::{Device, texts};
use crate::relay::Relay;

#[test]
fn pushes_without_a_relay_are_queued_and_flushed() {
    let mut relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    // Its announcement may still be waiting.
    a.json(&["flush"]);
    relay.kill();
    let queued = a.json(&["push", "one"]);
    assert!(queued["cursor"].is_null());
    assert_eq!(queued["queued"], true);
    assert!(a.run(&["push", "two"]).stdout.starts_with("queued"));
    assert_eq!(a.json(&["status"])["pending_push"], 2);
    assert_eq!(a.run(&["flush"]).code, 3);

    relay.restart();
    assert_eq!(a.json(&["flush"])["sent"], 2);
    assert_eq!(texts(&b.json(&["pull"])), ["one", "two"]);

    // The next command sends, too, whatever it is.
    relay.kill();
    a.json(&["push", "three"]);
    relay.restart();
    assert_eq!(a.json(&["status"])["pending_push"], 0);
    assert_eq!(texts(&b.json(&["pull"])), ["three"]);
}

#[test]
fn a_first_push_makes_the_group_even_without_a_relay() {
    let mut relay = Relay::start();
    relay.kill();
    let a = Device::new(&relay.url(), "laptop");
    assert_eq!(a.json(&["push", "early"])["queued"], true);
    relay.restart();
    let code = a.json(&["pair", "--create"])["code"].as_str().unwrap().to_owned();
    let b = Device::new(&relay.url(), "phone");
    b.json(&["pair", "--join", &code]);
    assert_eq!(texts(&b.json(&["pull"])), ["early"]);
}

#[test]
fn a_relay_killed_in_the_middle_of_a_loop_keeps_every_push_that_printed_a_cursor() {
    let mut relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let mut stored = Vec::new();
    for n in 0..24 {
        if n % 8 == 4 {
            relay.kill();
        }
        if n % 8 == 6 {
            relay.restart();
        }
        let pushed = a.json(&["push", &format!("text {n}")]);
        stored.extend(pushed["cursor"].as_u64().map(|cursor| (cursor, format!("text {n}"))));
    }
    assert!(stored.len() >= 18, "{stored:?}");
    a.json(&["flush"]);
    let pulled = b.json(&["pull"]);
    let expected: Vec<_> = (0..24).map(|n| format!("text {n}")).collect();
    assert_eq!(texts(&pulled), expected);
    let found = crate::device::cursors(&pulled);
    assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gaps: {found:?}");
    for (cursor, text) in stored {
        let place = found.iter().position(|at| *at == cursor).unwrap();
        assert_eq!(texts(&pulled)[place], text);
    }
}
