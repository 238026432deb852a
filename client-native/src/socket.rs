//! The WebSocket to a relay, as a task of its own: frames in, frames out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls_platform_verifier::BuilderVerifierExt;
use sync_types::RelayUrl;
use sync_types::limits::{MAX_NOISE_MESSAGE, SUBPROTOCOL};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

/// From the first packet to an open WebSocket.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For saying good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames that were read and not taken yet; then the socket is not read.
const READ_AHEAD: usize = 16;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What comes from a socket. After `Closed` nothing more comes.
#[derive(Debug)]
pub(crate) enum Incoming {
    Opened,
    Frame(Vec<u8>),
    Closed(Option<u16>),
}

/// A WebSocket that is being opened, or is open. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Socket {
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    incoming: mpsc::Receiver<Incoming>,
    task: tokio::task::JoinHandle<()>,
}

impl Socket {
    pub(crate) fn open(relay: &RelayUrl) -> Self {
        let (outgoing, frames) = mpsc::unbounded_channel();
        let (events, incoming) = mpsc::channel(READ_AHEAD);
        let task = tokio::spawn(run(relay.websocket(), frames, events));
        Self { outgoing, incoming, task }
    }

    /// Sends a frame, after those before it. Nothing happens when the socket is closed: `Closed` is
    /// on its way then. How much can pile up is the engine's to bound.
    pub(crate) fn send(&self, frame: Vec<u8>) {
        let _ = self.outgoing.send(frame);
    }

    /// What comes next. Can be given up without losing anything.
    pub(crate) async fn next(&mut self) -> Incoming {
        self.incoming.recv().await.unwrap_or(Incoming::Closed(None))
    }

    /// What has come already.
    pub(crate) fn ready(&mut self) -> Option<Incoming> {
        self.incoming.try_recv().ok()
    }

    /// Closes it, and waits until the relay has been told.
    pub(crate) async fn close(self) {
        let Self { outgoing, incoming, task } = self;
        drop((outgoing, incoming));
        let _ = timeout(CLOSE_TIMEOUT, task).await;
    }
}

async fn run(url: String, frames: mpsc::UnboundedReceiver<Vec<u8>>, events: mpsc::Sender<Incoming>) {
    let connected = tokio::select! {
        connected = timeout(CONNECT_TIMEOUT, connect(&url)) => connected,
        () = events.closed() => return,
    };
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the WebSocket could not be opened");
            let _ = events.send(Incoming::Closed(None)).await;
            return;
        }
        Err(_) => {
            tracing::debug!("the WebSocket could not be opened in time");
            let _ = events.send(Incoming::Closed(None)).await;
            return;
        }
    };
    if events.send(Incoming::Opened).await.is_err() {
        return;
    }
    let (sink, stream) = stream.split();
    // Both directions at once: a peer that reads nothing while it writes must not stop us both. The
    // end of either is the end.
    let code = tokio::select! {
        code = read(stream, &events) => code,
        () = write(sink, frames) => None,
        () = dropped(&events) => None,
    };
    let _ = events.send(Incoming::Closed(code)).await;
}

/// Ends when nobody has listened for as long as a good-bye may take.
async fn dropped(events: &mpsc::Sender<Incoming>) {
    events.closed().await;
    sleep(2 * CLOSE_TIMEOUT).await;
}

async fn connect(url: &str) -> Result<Stream, tungstenite::Error> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_NOISE_MESSAGE)
        .max_message_size(Some(MAX_NOISE_MESSAGE))
        .max_frame_size(Some(MAX_NOISE_MESSAGE));
    let connector = if url.starts_with("wss:") { Some(tls_connector()?) } else { None };
    let no_delay = true;
    let (stream, _response) =
        connect_async_tls_with_config(request, Some(config), no_delay, connector).await?;
    Ok(stream)
}

/// Trusts what the platform trusts, as the HTTP client does.
fn tls_connector() -> Result<Connector, tungstenite::Error> {
    install_crypto();
    let config = rustls::ClientConfig::builder()
        .with_platform_verifier()
        .map_err(|error| tungstenite::Error::Tls(error.into()))?
        .with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}

/// Makes ring this process's cryptography for TLS, unless the app has chosen already.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn read(mut stream: SplitStream<Stream>, events: &mpsc::Sender<Incoming>) -> Option<u16> {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                // Once nobody listens, reading goes on for the sake of the good-bye.
                let _ = events.send(Incoming::Frame(bytes.into())).await;
            }
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
            // Pings are answered while reading.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            // The protocol is binary.
            Ok(Message::Text(_)) => return None,
            Err(error) => {
                tracing::debug!(%error, "the WebSocket failed");
                return None;
            }
        }
    }
    None
}

/// Sends until the socket is dropped, and says good-bye then.
async fn write(mut sink: SplitSink<Stream, Message>, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = sink.send(Message::binary(frame)).await {
            tracing::debug!(%error, "the WebSocket failed");
            // The relay may have said why it closes: leave the reader a moment to find that.
            sleep(CLOSE_TIMEOUT).await;
            return;
        }
    }
    let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
}
