//! From the listening socket to the router: every socket comes in through the lobby, and none may say nothing
//! for long.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, error, trace};

use crate::caller::Proxies;
use crate::lobby::{Guest, Lobby};
use crate::relay::asked;

/// How long to wait when the system gives no more sockets.
const EXHAUSTED: Duration = Duration::from_secs(1);

/// What sockets are subject to.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Where each of them is until it is a member's.
    pub(crate) lobby: Arc<Lobby>,
    /// Which peers are proxies.
    pub(crate) proxies: Arc<Proxies>,
    /// How long a request's head may take to come, the first one's from the connection on.
    pub(crate) head_time: Duration,
}

/// One socket. Every request has it as an extension: a connection that becomes a WebSocket goes on
/// without HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) peer: IpAddr,
    pub(crate) guest: Arc<Guest>,
}

/// Serves until `stopping`, then lets the requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    sockets: Sockets,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &sockets) => accepted,
            () = asked(&mut stopping) => break,
        };
        while connections.try_join_next().is_some() {}
        if let Some((stream, arrived)) = accepted {
            connections.spawn(connection(
                stream,
                arrived,
                TowerToHyperService::new(router.clone()),
                sockets.head_time,
                stopping.clone(),
            ));
        }
    }
    drop((listener, router));
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, sockets: &Sockets) -> Option<(TcpStream, Arrived)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // What is flushed goes out at once: an answer does not wait for the peer's delayed ACK.
            if let Err(error) = stream.set_nodelay(true) {
                trace!(%error, "a connection is gone already");
            }
            let peer = peer.ip();
            let guest = Arc::new(sockets.lobby.enter(sockets.proxies.peer(peer)).await?);
            Some((stream, Arrived { peer, guest }))
        }
        Err(gone) if is_of_the_peer(&gone) => None,
        Err(error) => {
            error!(%error, "no socket for a connection");
            sleep(EXHAUSTED).await;
            None
        }
    }
}

fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    arrived: Arrived,
    router: TowerToHyperService<Router>,
    head_time: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time);
    let guest = Arc::clone(&arrived.guest);
    // Into the request, and not as a layer on the router: a router with a layer is a new one, with all its routes.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(arrived.clone());
        router.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = guest.evicted() => {
            debug!("a socket made room for another");
            return;
        }
        () = asked(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        trace!(%error, "a connection failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::http::HeaderName;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server with room for `most`, and how to stop it.
    async fn server(most: u32, head_time: Duration) -> (SocketAddr, impl AsyncFnOnce()) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let router = Router::new().route("/", get(async || "here"));
        let proxies = Arc::new(Proxies::new(Vec::new(), HeaderName::from_static("x-forwarded-for")));
        let sockets = Sockets { lobby: Lobby::new(most), proxies, head_time };
        let server = tokio::spawn(serve(listener, router, sockets, stopping));
        let stop = async move || {
            stop.send(true).unwrap();
            server.await.unwrap();
        };
        (addr, stop)
    }

    async fn says_half(addr: SocketAddr) -> TcpStream {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        socket
    }

    async fn hears(mut socket: TcpStream) -> String {
        let mut answer = Vec::new();
        // Cut, as it may be: what was answered is what counts.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn asks(addr: SocketAddr) -> String {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await.unwrap();
        hears(socket).await
    }

    #[tokio::test]
    async fn who_says_nothing_makes_room_for_the_next() {
        let (addr, stop) = server(1, Duration::from_secs(3600)).await;
        let slow = says_half(addr).await;
        assert!(asks(addr).await.ends_with("here"));
        assert_eq!(hears(slow).await, "");
        stop().await;
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let (addr, stop) = server(9, Duration::from_millis(50)).await;
        let slow = says_half(addr).await;
        assert!(!hears(slow).await.ends_with("here"));
        stop().await;
    }
}
