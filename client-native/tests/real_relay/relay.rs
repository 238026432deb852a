//! The real relay in a process of its own, so that it can be killed: this very test program, started
//! again with another task. The tests of the command line use this file, too.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sync_relay::Config;
use tempfile::TempDir;
use tokio::net::TcpListener;

const BIND: &str = "TEST_RELAY_BIND";
const DATABASE: &str = "TEST_RELAY_DATABASE";
/// What the relay says about itself, at DEBUG, goes here.
const LOG: &str = "relay.log";

/// A running relay; killed when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

#[allow(dead_code, reason = "not every test program uses all of it")]
impl Relay {
    /// A new relay on a free port.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (child, address) = spawn("127.0.0.1:0".parse().unwrap(), &database(folder.path()));
        Self { child, address, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it says of itself.
    pub(crate) fn health(&self) -> String {
        health(self.address)
    }

    /// Where its database and its log are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again under the same address, after a kill.
    pub(crate) fn restart(&mut self) {
        let (child, address) = spawn(self.address, &database(self.folder.path()));
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// A copy of the database of a relay that is not running.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.file_name().is_some_and(|name| name != LOG))
            .map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                (path, bytes)
            })
            .collect()
    }

    /// Deletes the database of a relay that is not running; the copy of its key stays.
    pub(crate) fn delete_database(&self) {
        for (path, _) in self.snapshot() {
            if path.extension().is_none_or(|extension| extension != "key") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// Puts a copy in the place of the database, or nothing at all.
    pub(crate) fn put_back(&self, snapshot: &[(PathBuf, Vec<u8>)]) {
        for (path, _) in self.snapshot() {
            std::fs::remove_file(path).unwrap();
        }
        for (path, bytes) in snapshot {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("relay.db")
}

fn spawn(bind: SocketAddr, database: &Path) -> (Child, SocketAddr) {
    let log = database.with_file_name(LOG);
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["relay::relay_process", "--exact", "--ignored", "--nocapture"])
        .env(BIND, bind.to_string())
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| Some(line.split_once("listens on ")?.1.parse().unwrap())).unwrap();
    // Its database is there when it answers.
    assert!(health(address).starts_with("HTTP/1.1 200 "));
    (child, address)
}

fn health(address: SocketAddr) -> String {
    let mut health = TcpStream::connect(address).unwrap();
    health.write_all(b"GET /health HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    health.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
#[ignore = "no test: the process that the tests above start"]
#[allow(clippy::print_stdout)]
fn relay_process() {
    let Ok(bind) = std::env::var(BIND) else { return };
    tracing_subscriber::fmt().with_env_filter("debug").with_writer(std::io::stderr).with_ansi(false).init();
    let mut config = Config::default();
    config.storage.database = Some(std::env::var_os(DATABASE).unwrap().into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(bind).await.unwrap();
        println!("\nlistens on {}", listener.local_addr().unwrap());
        sync_relay::serve(config, listener, std::future::pending()).await.unwrap();
    });
}
