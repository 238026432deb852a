//! A relay on a real socket with a real database, and a client made of the protocol's own parts.
#![allow(dead_code, unreachable_pub, clippy::wildcard_enum_match_arm, clippy::large_enum_variant)]

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use sync_relay::sqlite::SqliteStore;
use sync_relay::{Config, ServeError};
use sync_types::channel::{Channel, Initiator};
use sync_types::keylog::rotation_transcript;
use sync_types::rotation::LOCKBOX;
use sync_types::{
    AuthKey, BlobId, Cursor, DeviceId, DeviceSecret, Envelope, ErrorCode, GroupId, Hello, KeyLog, Lockbox,
    MembershipProof, Message, Nonce, Pull, PullResponse, Push, PushAck, Rotate, RotateAck, Rotation, StoreId,
    UnixMs, Welcome,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

/// Long enough for the slowest machine: nothing here waits for time to pass.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Relay {
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Relay {
    /// A relay with the default settings on the data of a folder.
    pub async fn start(folder: &TempDir) -> Self {
        Self::start_with(folder, Config::default()).await
    }

    pub async fn start_with(folder: &TempDir, mut config: Config) -> Self {
        config.storage.database = Some(folder.path().join("relay.db"));
        Self::start_by(|listener, stopped| sync_relay::serve(config, listener, stopped)).await
    }

    /// A relay on a store that was opened before.
    pub async fn start_on(store: SqliteStore, mut config: Config) -> Self {
        config.storage.database = Some("elsewhere/relay.db".into());
        Self::start_by(|listener, stopped| sync_relay::serve_with(config, store, listener, stopped)).await
    }

    async fn start_by<F>(serve: impl FnOnce(TcpListener, Stopped) -> F) -> Self
    where
        F: Future<Output = Result<(), ServeError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = Box::pin(async move {
            let _ = stopped.await;
        });
        let task = tokio::spawn(serve(listener, stopped));
        Self { addr, stop, task }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// A group in one epoch, and who can prove to belong to it.
#[derive(Clone)]
pub struct Group {
    /// Of the newest epoch that the log reaches.
    pub key: SigningKey,
    pub id: GroupId,
    pub log: KeyLog,
}

impl Group {
    pub fn new(n: u8) -> Self {
        let key = SigningKey::from_bytes(&[n; 32]);
        let log = KeyLog::new(AuthKey(key.verifying_key().to_bytes()));
        Self { id: GroupId::of(&log.genesis), key, log }
    }

    /// A rotation by the first of some devices for all of them, as blob `id`, and the group after it.
    pub fn rotate(&self, id: u32, after: u64, devices: &[u8]) -> (Self, Rotate) {
        let (sender, blob_id) = (device(devices[0]).id(), push(id, vec![]).blob_id);
        let key = SigningKey::from_bytes(&random());
        let mut ids: Vec<_> = devices.iter().map(|n| device(*n).id()).collect();
        ids.sort();
        let mut rotation = Rotation {
            epoch: self.log.epoch() + 1,
            auth_key: AuthKey(key.verifying_key().to_bytes()),
            lockboxes: ids.into_iter().map(|device_id| Lockbox { device_id, sealed: [7; LOCKBOX] }).collect(),
            inner: b"sealed".to_vec(),
            signature: [0; 64],
        };
        let content = rotation.content_hash(&sender, &blob_id);
        let transcript = rotation_transcript(&self.id, rotation.epoch, &rotation.auth_key, &content);
        rotation.signature = self.key.sign(&transcript).to_bytes();
        let mut log = self.log.clone();
        log.links.push(rotation.link(&sender, &blob_id));
        let rotate = Rotate { blob_id, after: Cursor::new(after).unwrap(), payload: rotation.encode() };
        (Self { key, id: self.id, log }, rotate)
    }
}

pub fn device(n: u8) -> DeviceSecret {
    DeviceSecret::from_bytes([n; 32])
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub fn push(id: u32, payload: impl Into<Vec<u8>>) -> Push {
    let mut blob_id = [0; 16];
    blob_id[..4].copy_from_slice(&id.to_be_bytes());
    Push { blob_id: BlobId(blob_id), payload: payload.into(), ttl: None }
}

pub fn error_code(message: &Message) -> Option<ErrorCode> {
    let Message::Error(error) = message else { return None };
    ErrorCode::from_u16(error.code)
}

/// What a client gets from the relay.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Message(Nonce, Message),
    Closed(u16),
    /// Without a WebSocket close.
    Cut,
}

pub struct Client {
    pub socket: Socket,
    pub channel: Channel,
    device: DeviceSecret,
    group: Group,
}

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn open_socket(addr: SocketAddr) -> Socket {
    open_socket_for(addr, None).await
}

/// As a proxy would that speaks for `client`.
pub async fn open_socket_for(addr: SocketAddr, client: Option<&str>) -> Socket {
    let mut request = format!("ws://{addr}/sync").into_client_request().unwrap();
    let protocol = "sync-relay.v1".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    if let Some(client) = client {
        request.headers_mut().insert("cf-connecting-ip", client.parse().unwrap());
    }
    let (socket, response) = soon(connect_async(request)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "sync-relay.v1");
    socket
}

/// One for which the system takes in little before it is read.
pub async fn open_narrow_socket(addr: SocketAddr) -> Socket {
    let mut request = format!("ws://{addr}/sync").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "sync-relay.v1".parse().unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let stream = soon(socket.connect(addr)).await.unwrap();
    soon(client_async(request, MaybeTlsStream::Plain(stream))).await.unwrap().0
}

impl Client {
    /// Through the handshake, not further.
    pub async fn connect(addr: SocketAddr, device_no: u8, group: &Group) -> Self {
        Self::over(open_socket(addr).await, device_no, group).await
    }

    /// Through the handshake on a socket that is open.
    pub async fn over(mut socket: Socket, device_no: u8, group: &Group) -> Self {
        let device = device(device_no);
        let (initiator, first) = Initiator::start(&device, random()).unwrap();
        socket.send(Frame::binary(first)).await.unwrap();
        let second = soon(socket.next()).await.unwrap().unwrap().into_data();
        let (mut channel, third) = initiator.read(&second).unwrap().finish().unwrap();
        socket.send(Frame::binary(third)).await.unwrap();
        channel.set_max_envelope(2 << 20);
        Self { socket, channel, device, group: group.clone() }
    }

    /// Through HELLO and WELCOME.
    pub async fn join(addr: SocketAddr, device_no: u8, group: &Group) -> Self {
        let mut client = Self::connect(addr, device_no, group).await;
        client.welcome().await;
        client
    }

    pub fn id(&self) -> DeviceId {
        self.device.id()
    }

    pub fn group_id(&self) -> GroupId {
        self.group.id
    }

    pub fn hello(&self) -> Hello {
        let proof = MembershipProof {
            handshake_hash: self.channel.handshake_hash(),
            group_id: &self.group.id,
            epoch: self.group.log.epoch(),
            device_id: &self.device.id(),
        };
        Hello {
            version: 1,
            device_name: b"sealed".to_vec(),
            group_id: self.group.id,
            last_cursor: Cursor::ZERO,
            store_id: StoreId::NONE,
            epoch: self.group.log.epoch(),
            key_log: Some(self.group.log.clone()),
            proof: self.group.key.sign(&proof.transcript()).to_bytes(),
            features: 1,
            access_token: None,
        }
    }

    pub async fn welcome(&mut self) -> Welcome {
        let hello = self.hello();
        match self.request(hello).await {
            Message::Welcome(welcome) => welcome,
            other => panic!("HELLO gave {other:?}"),
        }
    }

    pub async fn send(&mut self, message: impl Into<Message>) -> Nonce {
        let nonce = Nonce(random());
        let envelope = Envelope::seal(&message.into(), self.id(), self.group.id, UnixMs(0), nonce);
        self.send_envelope(&envelope).await;
        nonce
    }

    pub async fn send_envelope(&mut self, envelope: &[u8]) {
        for frame in self.channel.seal(envelope).unwrap() {
            self.socket.send(Frame::binary(frame)).await.unwrap();
        }
    }

    pub async fn hear(&mut self) -> Heard {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Frame::Binary(frame))) => {
                    if let Some(bytes) = self.channel.open(&frame).unwrap() {
                        let (envelope, message) = Envelope::open(&bytes).unwrap();
                        return Heard::Message(envelope.nonce, message.unwrap());
                    }
                }
                Some(Ok(Frame::Close(close))) => return Heard::Closed(close.map_or(0, |c| c.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Cut,
            }
        }
    }

    pub async fn message(&mut self) -> Message {
        match self.hear().await {
            Heard::Message(_, message) => message,
            other => panic!("instead of a message: {other:?}"),
        }
    }

    /// Sends a request and waits for its answer; what comes between is skipped.
    pub async fn request(&mut self, message: impl Into<Message>) -> Message {
        let asked = self.send(message).await;
        self.answer(asked).await
    }

    /// Waits for the answer to a request; what comes between is skipped.
    pub async fn answer(&mut self, to: Nonce) -> Message {
        loop {
            match self.hear().await {
                Heard::Message(nonce, message) if nonce == to => return message,
                Heard::Message(..) => {}
                other => panic!("instead of an answer: {other:?}"),
            }
        }
    }

    pub async fn push(&mut self, id: u32, payload: impl Into<Vec<u8>>) -> PushAck {
        match self.request(push(id, payload)).await {
            Message::PushAck(ack) => ack,
            other => panic!("a push gave {other:?}"),
        }
    }

    pub async fn pull(&mut self, after: u64) -> PullResponse {
        let after_cursor = Cursor::new(after).unwrap();
        match self.request(Pull { after_cursor, limit: 1000 }).await {
            Message::PullResponse(response) => response,
            other => panic!("a pull gave {other:?}"),
        }
    }

    pub async fn rotate(&mut self, rotate: Rotate) -> RotateAck {
        match self.request(rotate).await {
            Message::RotateAck(ack) => ack,
            other => panic!("a rotation gave {other:?}"),
        }
    }

    /// What a request is refused with.
    pub async fn refused(&mut self, message: impl Into<Message>) -> ErrorCode {
        let answer = self.request(message).await;
        error_code(&answer).unwrap_or_else(|| panic!("instead of a refusal: {answer:?}"))
    }

    /// What HELLO is refused with, for a device of a group as it knows it.
    pub async fn shut_out(addr: SocketAddr, device_no: u8, group: &Group) -> ErrorCode {
        let mut client = Self::connect(addr, device_no, group).await;
        let hello = client.hello();
        let code = client.refused(hello).await;
        assert_eq!(client.closed().await, code.close_code());
        code
    }

    /// The close code, whatever comes before it.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Heard::Closed(code) => return code,
                Heard::Cut => panic!("cut without a close"),
                Heard::Message(..) => {}
            }
        }
    }
}

/// What a relay answers over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub async fn http(addr: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("host:")) {
        request += &format!("host: {addr}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer { status: head[9..12].parse().unwrap(), head: head.to_ascii_lowercase(), body: body.to_owned() }
}
