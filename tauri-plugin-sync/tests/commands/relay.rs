//! The real relay, in this process.

use std::net::SocketAddr;

use sync_relay::Config;
use tauri::async_runtime::{JoinHandle, block_on, spawn};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A running relay.
pub(crate) struct Relay {
    address: SocketAddr,
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Relay {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (address, running) = run("127.0.0.1:0".parse().unwrap(), &folder);
        Self { address, folder, running: Some(running) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(Running { stop, ended }) = self.running.take() {
            stop.send(()).unwrap();
            block_on(ended).unwrap();
        }
    }

    /// Under the same address, and nothing else is the same.
    pub(crate) fn start_anew(&mut self) {
        self.folder = TempDir::new().unwrap();
        self.start_again();
    }

    /// Under the same address, with the same database.
    pub(crate) fn start_again(&mut self) {
        self.running = Some(run(self.address, &self.folder).1);
    }
}

fn run(bind: SocketAddr, folder: &TempDir) -> (SocketAddr, Running) {
    let mut config = Config::default();
    config.storage.database = Some(folder.path().join("relay.db"));
    let listener = block_on(TcpListener::bind(bind)).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = spawn(async move {
        let stopped = async move { stopped.await.unwrap_or_default() };
        sync_relay::serve(config, listener, stopped).await.unwrap();
    });
    (address, Running { stop, ended })
}
