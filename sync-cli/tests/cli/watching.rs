use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::device::{Device, texts};
use crate::relay::Relay;

#[test]
fn watch_prints_what_comes_and_acknowledges_it() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    a.json(&["push", "before"]);
    let mut watching = b.start(&["--json", "watch"]);
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["text"], "before");
    for n in 0..3 {
        a.json(&["push", &format!("live {n}")]);
        assert_eq!(next()["text"], format!("live {n}"));
    }
    drop(watching);
    assert!(texts(&b.json(&["pull"])).len() <= 1, "at most the last one was not acknowledged yet");
}

#[test]
fn watch_lets_a_push_of_the_same_device_through() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    let mut watching = b.start(&["--json", "watch"]);
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    for n in 0..2 {
        assert!(b.json(&["push", &format!("mine {n}")])["cursor"].is_u64());
        a.json(&["push", &format!("theirs {n}")]);
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("theirs {n}")), "{line}");
    }
    assert_eq!(texts(&a.json(&["pull"])), ["mine 0", "mine 1"]);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let relay = Relay::start();
    let (a, b) = Device::pair(&relay.url());
    a.json(&["push", &"x".repeat(1000)]);
    let mut pulling = b.start(&["pull"]);
    drop(pulling.0.stdout.take());
    assert!(pulling.0.wait().unwrap().success());
    assert_eq!(texts(&b.json(&["pull"])).len(), 1, "what nobody read is not acknowledged");
}
