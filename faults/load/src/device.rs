//! A device: the real engine on a real socket, and nothing on a disk.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use sync_e2ee::{DeviceName, Invite};
use sync_engine::{Command, CommandId, Engine, EngineError, Event, Input, NewDevice, Output, Reply, Status};
use sync_types::limits::SUBPROTOCOL;
use sync_types::{DeviceSecret, InviteKey, LookupKey, MonoMs, Now, RelayAddress, RelayUrl, UnixMs};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use zeroize::Zeroizing;

/// As the client library has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// When devices tried to connect.
pub(crate) fn attempts() -> MutexGuard<'static, Vec<Instant>> {
    static ATTEMPTS: Mutex<Vec<Instant>> = Mutex::new(Vec::new());
    ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) type Socket = WebSocketStream<TcpStream>;

type Answer = oneshot::Sender<Result<Reply, EngineError>>;

enum Ask {
    Command(Command, Answer),
    /// Read the socket no more.
    Stall,
}

/// Where a device is, and from which of this machine's addresses it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) relay: std::net::SocketAddr,
    pub(crate) from: IpAddr,
    /// What the system takes in for it before it is read, in bytes, if not as much as it likes.
    pub(crate) window: Option<u32>,
}

/// A device that runs until it is dropped.
pub(crate) struct Device {
    asks: mpsc::UnboundedSender<Ask>,
    /// What it is told, with the moment.
    pub(crate) events: mpsc::UnboundedReceiver<(Instant, Event)>,
    task: JoinHandle<Status>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Device {
    /// A device that belongs to no group yet.
    pub(crate) fn new(place: Place) -> Result<Self> {
        let (asks, receiver) = mpsc::unbounded_channel();
        let (told, events) = mpsc::unbounded_channel();
        let relay = RelayAddress { url: format!("http://{}", place.relay).parse()?, key: None };
        let device = NewDevice {
            secret: DeviceSecret::from_bytes(random()?),
            name: DeviceName::shortened("device", "device"),
            platform: "load".to_owned(),
            relay: Some(relay),
            access_token: None,
        };
        let run = Run {
            engine: Engine::create(random()?, device),
            place,
            start: Instant::now(),
            socket: None,
            stalled: false,
            waiting: BTreeMap::new(),
            next: 0,
            told,
        };
        Ok(Self { asks, events, task: tokio::spawn(run.run(receiver)) })
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Reply> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Command(command, answer)).ok().context("the device has ended")?;
        Ok(answered.await.context("the device has ended")??)
    }

    pub(crate) fn stall(&self) {
        let _ = self.asks.send(Ask::Stall);
    }

    pub(crate) async fn connect(&self) -> Result<()> {
        self.ask(Command::Connect).await.map(|_| ())
    }

    pub(crate) async fn push(&self, data: Vec<u8>, ttl: Option<u32>) -> Result<sync_types::BlobId> {
        let reply = self.ask(Command::Push { data: Zeroizing::new(data), ttl, token: None }).await?;
        let Reply::Queued(blob_id) = reply else { bail!("a push gave {reply:?}") };
        Ok(blob_id)
    }

    /// An invite into this device's group, as whoever has its key reads it.
    pub(crate) async fn invite(&self) -> Result<Invite> {
        let (lookup, key) = (LookupKey(random()?), InviteKey::from_bytes(random()?));
        let Reply::Invite(sealed) = self.ask(Command::SealInvite { lookup, key: key.clone() }).await? else {
            bail!("no invite");
        };
        Ok(Invite::open(&lookup, &key, &sealed.payload)?)
    }

    /// Becomes a member, and connects.
    pub(crate) async fn join(&self, invite: Invite) -> Result<()> {
        self.ask(Command::Join(Box::new(invite))).await?;
        self.connect().await
    }

    /// The next event of a kind; the others are skipped.
    pub(crate) async fn hears<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> Result<(Instant, T)> {
        loop {
            let (at, event) = self.events.recv().await.context("the device has ended")?;
            if let Some(found) = wanted(&event) {
                return Ok((at, found));
            }
        }
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

struct Run {
    engine: Engine,
    place: Place,
    start: Instant,
    socket: Option<Socket>,
    stalled: bool,
    waiting: BTreeMap<CommandId, Answer>,
    next: u64,
    told: mpsc::UnboundedSender<(Instant, Event)>,
}

impl Run {
    async fn run(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) -> Status {
        loop {
            self.work().await;
            let deadline = self
                .engine
                .poll_timeout()
                .map_or(self.start + Duration::from_secs(3600), |at| self.start + at.since(MonoMs(0)));
            let reads = !self.stalled;
            let input = tokio::select! {
                ask = asks.recv() => match ask {
                    None => return self.engine.status(),
                    Some(Ask::Stall) => {
                        self.stalled = true;
                        continue;
                    }
                    Some(Ask::Command(command, answer)) => {
                        let id = CommandId(self.next);
                        self.next += 1;
                        self.waiting.insert(id, answer);
                        Input::Command(id, command)
                    }
                },
                frame = next(&mut self.socket), if reads => {
                    if matches!(frame, Input::Closed(_)) {
                        self.socket = None;
                    }
                    frame
                }
                () = sleep_until(deadline), if reads => Input::Tick,
            };
            let now = self.now();
            self.engine.handle(now, input);
        }
    }

    async fn work(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Connect(relay) => {
                    self.socket = open(self.place, &relay).await.ok();
                    let input = if self.socket.is_some() { Input::Connected } else { Input::Closed(None) };
                    let now = self.now();
                    self.engine.handle(now, input);
                }
                Output::Send(frame) => {
                    if let Some(socket) = &mut self.socket
                        && socket.send(Frame::binary(frame)).await.is_err()
                    {
                        self.socket = None;
                        let now = self.now();
                        self.engine.handle(now, Input::Closed(None));
                    }
                }
                Output::Disconnect => self.socket = None,
                Output::Store(batch, _) => {
                    let now = self.now();
                    self.engine.handle(now, Input::Stored(batch));
                }
                Output::Event(event) => {
                    let _ = self.told.send((Instant::now(), event));
                }
                Output::Reply(id, result) => {
                    if let Some(answer) = self.waiting.remove(&id) {
                        let _ = answer.send(result);
                    }
                }
            }
        }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono: MonoMs(0).plus(self.start.elapsed()), unix: UnixMs(0).plus(unix) }
    }
}

async fn next(socket: &mut Option<Socket>) -> Input {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.next().await {
            Some(Ok(Frame::Binary(bytes))) => return Input::Frame(bytes.into()),
            Some(Ok(Frame::Close(frame))) => return Input::Closed(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Input::Closed(None),
        }
    }
}

async fn open(place: Place, relay: &RelayUrl) -> Result<Socket> {
    attempts().push(Instant::now());
    let opened = async { upgrade(dial(place).await?, &relay.websocket()).await };
    timeout(CONNECT_TIMEOUT, opened).await?
}

/// A connection that comes from one of this machine's addresses.
pub(crate) async fn dial(place: Place) -> Result<TcpStream> {
    let socket = if place.relay.is_ipv4() {
        tokio::net::TcpSocket::new_v4()
    } else {
        tokio::net::TcpSocket::new_v6()
    }?;
    socket.bind((place.from, 0).into())?;
    if let Some(bytes) = place.window {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(socket.connect(place.relay).await?)
}

pub(crate) async fn upgrade(stream: TcpStream, url: &str) -> Result<Socket> {
    stream.set_nodelay(true)?;
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    let small = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    Ok(client_async_with_config(request, stream, Some(small)).await?.0)
}
