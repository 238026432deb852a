use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tauri::async_runtime::block_on;
use tauri_plugin_sync::OnExit;
use tauri_plugin_sync::sync_client::{Error, Keychain, SyncClient, SyncConfig};
use tempfile::TempDir;

use crate::app::{Device, device, plugin};
use crate::relay::Relay;

#[test]
fn what_waits_is_with_the_relay_before_the_app_ends() {
    let relay = Relay::start();
    let line = Line::to(relay.address());
    let folder = TempDir::new().unwrap();
    let a = Device::opened(plugin(&relay, folder.path(), "laptop").relay(line.url()));
    a.send(b"a group");
    line.set(Way::Held);
    a.push(b"waits");
    assert_eq!(a.status()["pendingPush"], 1);
    a.close_and(move || line.set(Way::Open));
    assert_eq!(waiting(folder.path(), Duration::ZERO).unwrap(), 0);
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
    assert_eq!(waiting(a_folder.path(), Duration::ZERO).unwrap(), 1);
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
        let a = Device::opened(plugin(&relay, folder.path(), "laptop").relay(line.url()).on_exit(policy));
        a.send(b"a group");
        line.set(Way::Cut);
        a.push(b"unsent");
        assert_eq!(a.status()["pendingPush"], 1, "{policy:?}");
        // This is what must come to an end.
        a.close();
        match policy {
            // Time is over when the flush is given up: the store may be closed a little later.
            OnExit::Flush => assert_eq!(waiting(folder.path(), SHORTER_THAN_A_TURN).unwrap(), 1),
            OnExit::Leave => assert!(matches!(waiting(folder.path(), Duration::ZERO), Err(Error::Busy(_)))),
        }
    }
}

/// A client that was not closed, and has something to send, keeps its folder for half a minute.
const SHORTER_THAN_A_TURN: Duration = Duration::from_secs(10);

/// How many pushes wait in the folder of an app that has ended; an error if it was not closed.
fn waiting(folder: &Path, open_timeout: Duration) -> Result<usize, Error> {
    let (folder, keychain) = (folder.to_owned(), Keychain::Off);
    let config = SyncConfig { folder, keychain, open_timeout, ..SyncConfig::default() };
    block_on(async {
        let client = SyncClient::open(config).await?;
        let status = client.status();
        client.close().await;
        Ok(status.pending_push)
    })
}

/// What becomes of what comes along a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// It waits.
    Held,
    /// It gets lost.
    Cut,
}

/// A way to the relay.
struct Line {
    address: SocketAddr,
    way: Arc<(Mutex<Way>, Condvar)>,
}

impl Line {
    fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new((Mutex::new(Way::Open), Condvar::new()));
        let of_all = Arc::clone(&way);
        thread::spawn(move || {
            for device in listener.incoming().map(Result::unwrap) {
                let relay = TcpStream::connect(relay).unwrap();
                pass(device.try_clone().unwrap(), relay.try_clone().unwrap(), Arc::clone(&of_all));
                pass(relay, device, Arc::clone(&of_all));
            }
        });
        Self { address, way }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn set(&self, way: Way) {
        *self.way.0.lock().unwrap() = way;
        self.way.1.notify_all();
    }
}

/// Passes on what comes, until it ends.
fn pass(mut from: TcpStream, mut to: TcpStream, way: Arc<(Mutex<Way>, Condvar)>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            let now = way.1.wait_while(way.0.lock().unwrap(), |way| *way == Way::Held).unwrap();
            let lost = *now == Way::Cut;
            drop(now);
            if !lost && to.write_all(&bytes[..len]).is_err() {
                return;
            }
        }
    });
}
