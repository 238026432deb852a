//! A TCP proxy that can be made to lose what the relay answers.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a proxy does with what comes from the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    /// Swallows it.
    Deaf,
    /// Closes all connections, and takes no others.
    Cut,
}

/// A TCP proxy that can be made to lose answers.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    swallowed: watch::Receiver<usize>,
}

impl Proxy {
    pub(crate) async fn start(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(watch::Sender::new(Line::Open));
        let lines = Arc::clone(&line);
        let (count, swallowed) = watch::channel(0);
        let count = Arc::new(count);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *lines.borrow() != Line::Cut {
                    tokio::spawn(carry(client, relay, lines.subscribe(), Arc::clone(&count)));
                }
            }
        });
        Self { address, line, swallowed }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until an answer was lost.
    pub(crate) async fn lost_something(&self) {
        self.swallowed.clone().wait_for(|bytes| *bytes > 0).await.unwrap();
    }

    /// Closes all connections.
    pub(crate) async fn cut(&self) {
        self.set(Line::Cut);
        self.line.closed().await;
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn carry(
    mut client: TcpStream,
    relay: SocketAddr,
    mut line: watch::Receiver<Line>,
    swallowed: Arc<watch::Sender<usize>>,
) {
    let mut relay = TcpStream::connect(relay).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_relay, mut to_relay) = relay.split();
    let deaf = line.clone();
    let down = async {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from_relay.read(&mut buffer).await {
            if *deaf.borrow() != Line::Open {
                swallowed.send_modify(|bytes| *bytes += len);
            } else if to_client.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = tokio::io::copy(&mut from_client, &mut to_relay) => {}
        _ = line.wait_for(|line| *line == Line::Cut) => {}
    }
}
