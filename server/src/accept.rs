//! From the listening socket to the router: how many sockets there may be at once, and how long one may
//! say nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, trace};

use crate::relay::asked;

/// How long to wait when the system gives no more sockets.
const EXHAUSTED: Duration = Duration::from_secs(1);

/// What sockets may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets {
    /// Most at once; more wait in the system's own queue.
    pub(crate) most: usize,
    /// How long a request's head may take to come, the first one's from the connection on.
    pub(crate) head_time: Duration,
}

/// One socket's place, for as long as somebody holds it. Every request has it as an extension: a
/// connection that becomes a WebSocket goes on without HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Serves until `stopping`, then lets the requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    sockets: Sockets,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(sockets.most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = asked(&mut stopping) => break,
        };
        while connections.try_join_next().is_some() {}
        if let Some((stream, place)) = accepted {
            let router = router.clone().layer(Extension(place));
            connections.spawn(connection(stream, router, sockets.head_time, stopping.clone()));
        }
    }
    drop((listener, router));
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, Place)> {
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, Place { _permit: Arc::new(permit) })),
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
    router: Router,
    head_time: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
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
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_says_nothing_loses_its_place_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let router = Router::new().route("/", get(async || "here"));
        let sockets = Sockets { most: 1, head_time: Duration::from_millis(50) };
        let server = tokio::spawn(serve(listener, router, sockets, stopping));
        let mut slow = TcpStream::connect(addr).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
        let mut next = TcpStream::connect(addr).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        next.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        let _ = slow.read_to_end(&mut rest).await;
        assert!(!rest.ends_with(b"here"));
        stop.send(true).unwrap();
        server.await.unwrap();
    }
}
