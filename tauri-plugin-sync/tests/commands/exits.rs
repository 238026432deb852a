use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use tauri_plugin_sync::OnExit;
use tempfile::TempDir;

use crate::app::{Device, device, plugin};
use crate::relay::Relay;

/// More than are sent while one looks.
const MANY: usize = 50;

#[test]
fn what_waits_is_sent_before_the_app_ends() {
    let relay = Relay::start();
    let (a, _a) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    for number in 0..MANY {
        a.push(format!("note {number}").as_bytes());
    }
    a.close();
    let mut found = Vec::new();
    while found.len() < MANY {
        let page = b.next_page();
        b.call("ack", json!({ "cursor": page.head["maxCursor"] })).unwrap();
        found.extend(page.data);
    }
    assert_eq!(found.last().unwrap(), b"note 49");
}

#[test]
fn what_could_not_be_sent_is_sent_after_the_next_start() {
    let mut relay = Relay::start();
    let (a, a_folder) = device(&relay, "laptop");
    let (b, _b) = device(&relay, "phone");
    a.admit(&b);
    relay.stop();
    a.wait_for("disconnected");
    a.push(b"unsent");
    a.close();
    relay.start_again();
    b.call("woke", json!({})).unwrap();
    b.wait_for("connected");
    let again = Device::start(plugin(&relay, a_folder.path(), "laptop"));
    assert_eq!(b.next_page().data, [b"unsent"]);
    again.close();
}

#[test]
fn a_relay_that_is_silent_does_not_keep_an_app_from_ending() {
    let relay = Relay::start();
    for policy in [OnExit::Flush, OnExit::Leave] {
        let line = Line::to(relay.address());
        let folder = TempDir::new().unwrap();
        let a = Device::start(plugin(&relay, folder.path(), "laptop").relay(line.url()).on_exit(policy));
        a.push(b"a group");
        a.call("flush", json!({})).unwrap();
        line.cut.store(true, Ordering::Relaxed);
        a.push(b"unsent");
        assert_eq!(a.status()["pendingPush"], 1, "{policy:?}");
        // This is what must come to an end.
        a.close();
    }
}

/// A way to the relay on which everything may get lost.
struct Line {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        thread::spawn(move || {
            for device in listener.incoming().map(Result::unwrap) {
                let relay = TcpStream::connect(relay).unwrap();
                pass(device.try_clone().unwrap(), relay.try_clone().unwrap(), Arc::clone(&is_cut));
                pass(relay, device, Arc::clone(&is_cut));
            }
        });
        Self { address, cut }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Passes on what comes, until it ends or is to get lost.
fn pass(mut from: TcpStream, mut to: TcpStream, cut: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            if !cut.load(Ordering::Relaxed) && to.write_all(&bytes[..len]).is_err() {
                return;
            }
        }
    });
}
