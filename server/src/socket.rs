//! One connection: the whole trip of a blob, from its socket through its session to storage and to
//! the others, and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sync_relay_core::store::{PullPage, ReadOp, ReadResult, Store, WriteOp};
use sync_relay_core::{OpId, Output, Refusal, Session, StoreReply};
use sync_types::limits::{MAX_NOISE_MESSAGE, PING_INTERVAL, SUBPROTOCOL};
use sync_types::{ErrorCode, StoredBlob};
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, debug, debug_span, trace};

use crate::accept::Arrived;
use crate::caller::{Address, Caller};
use crate::fanout::Seat;
use crate::http::Problem;
use crate::lobby::Guest;
use crate::memory::{Budget, Share};
use crate::rations::{Connected, Ration};
use crate::relay::{Relay, asked};
use crate::writer::Replies;

/// Without progress for so long, a peer that does not take what is sent is dropped.
const STUCK: Duration = Duration::from_secs(30);
/// How long a peer may hold a share of what all sessions have when others wait for one, and longer by what passes at
/// the rate below.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes in a millisecond: a megabit a second.
const SLOWEST: usize = 128;
/// How long a peer has to answer a close.
const CLOSING: Duration = Duration::from_secs(2);
/// How long a peer that has to make room may take to hear of it.
const EVICTING: Duration = Duration::from_millis(100);
/// Deliveries in a row, before the session looks at anything else.
const MAX_DELIVERIES: usize = 64;
/// Unstored input of one session, in bytes; more where one envelope is larger.
const MAX_UNSTORED: usize = 2 << 20;
/// What tungstenite reads at once, in bytes.
const READ_BUFFER: usize = 16 * 1024;
/// What tungstenite gathers before it writes, in bytes.
const WRITE_BUFFER: usize = 64 * 1024;
/// Why a connection finds no place.
const FULL: &str = "the relay has as many connections as it takes";
/// Why one ends that was let in.
const BUSY: &str = "the relay is busy";
/// Longest reason of a close, in bytes (RFC 6455 §5.5 leaves 123).
const MAX_REASON: usize = 120;

/// `GET /sync`. Browsers cannot read a refused upgrade, so a refusal comes after it.
pub(crate) async fn upgrade(
    State(relay): State<Arc<Relay>>,
    Extension(arrived): Extension<Arrived>,
    Extension(caller): Extension<Caller>,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let request = request.map_err(|rejected| Problem::because(rejected.status(), rejected.body_text()))?;
    let request = request
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + 2 * MAX_NOISE_MESSAGE)
        .max_message_size(MAX_NOISE_MESSAGE)
        .max_frame_size(MAX_NOISE_MESSAGE);
    let guest = arrived.guest;
    let connected = may_begin(&relay, &caller);
    Ok(request.on_upgrade(async move |socket| match connected {
        Ok(connected) => {
            let who = Who { address: caller.counted, guest, place: None, _connected: connected };
            run(relay, socket, who).instrument(debug_span!("session")).await;
        }
        Err((code, why)) => {
            relay.metrics.refused(code);
            tokio::select! {
                () = refuse(socket, code, &why) => {}
                () = guest.evicted() => {}
            }
        }
    }))
}

/// Whether a connection may begin, as far as can be said before its handshake.
fn may_begin(relay: &Arc<Relay>, caller: &Caller) -> Result<Connected, (ErrorCode, String)> {
    if relay.places.available_permits() == 0 {
        return Err((ErrorCode::Unavailable, FULL.to_owned()));
    }
    let now = relay.clock.now().mono;
    if let Err(wait) = relay.rations.take(caller.counted, Ration::Session, now) {
        let seconds = wait.as_millis().div_ceil(1000);
        let why = format!("too many connections in a short time; try again in {seconds} s");
        return Err((ErrorCode::RateLimited, why));
    }
    let connected = relay.rations.connect(caller.counted, now);
    connected.ok_or_else(|| (ErrorCode::RateLimited, "too many connections from this address".to_owned()))
}

async fn refuse(socket: WebSocket, code: ErrorCode, why: &str) {
    let (mut sink, stream) = socket.split();
    let message = close_message(code.close_code(), why);
    if let Ok(Ok(())) = timeout(CLOSING, sink.send(message)).await {
        close(sink, stream).await;
    }
}

async fn run(relay: Arc<Relay>, socket: WebSocket, who: Who) {
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        return refuse(socket, ErrorCode::Unavailable, "the relay has no random bytes").await;
    }
    let (sink, stream) = socket.split();
    let (replies, heard) = mpsc::unbounded_channel();
    let now = relay.clock.now();
    let connection = Connection {
        session: Session::new(Arc::clone(&relay.identity), seed, now),
        seat: relay.fanout.open(relay.clock),
        who,
        founds: false,
        sink,
        replies,
        input: Share::default(),
        input_since: None,
        page: Share::default(),
        due: Due::default(),
        relay,
    };
    debug!("opened");
    connection.run(stream, heard).await;
}

/// Whose connection it is: a stranger's until it has a place.
struct Who {
    address: Option<Address>,
    guest: Arc<Guest>,
    place: Option<OwnedSemaphorePermit>,
    _connected: Connected,
}

struct Connection {
    relay: Arc<Relay>,
    session: Session,
    seat: Seat,
    who: Who,
    /// Whether its group is not there, as far as is known: letting it in would make one.
    founds: bool,
    sink: SplitSink<WebSocket, Message>,
    replies: Replies,
    /// Of the budget for input, for what storage does not have yet.
    input: Share,
    /// Since when the peer has had it without anything of it going to storage.
    input_since: Option<Instant>,
    /// Of the budget for output, while a page is on its way.
    page: Share,
    due: Due,
}

/// When each share that is held has to go to others that wait for one.
#[derive(Debug, Clone, Copy, Default)]
struct Due {
    input: Option<Instant>,
    page: Option<Instant>,
}

/// The connection is over, or the peer has stopped taking.
struct Over;

impl Connection {
    async fn run(
        mut self,
        mut stream: SplitStream<WebSocket>,
        heard: mpsc::UnboundedReceiver<(OpId, StoreReply)>,
    ) {
        let guest = Arc::clone(&self.who.guest);
        let ended = tokio::select! {
            ended = self.talk(&mut stream, heard) => ended,
            () = guest.evicted() => return self.make_room().await,
        };
        if let Some(op) = self.session.farewell(self.relay.clock.now()) {
            self.relay.writer.note(op);
        }
        debug!(session = ?self.session, "ended");
        // The others hear that it is gone, and have what it held, before the peer has answered the close.
        let Self { sink, seat, who, session, input, page, .. } = self;
        drop((seat, session, input, page));
        if let Err(Over) = ended {
            close(sink, stream).await;
        }
        drop(who);
    }

    /// Ends a stranger's connection without waiting for its peer.
    async fn make_room(mut self) {
        debug!("made room for another");
        let message = close_message(ErrorCode::Unavailable.close_code(), FULL);
        let _ = timeout(EVICTING, self.sink.send(message)).await;
    }

    /// A stranger's turn to have something worked out. Members need none.
    async fn turn<'a>(&self, relay: &'a Relay) -> Option<SemaphorePermit<'a>> {
        if self.who.place.is_some() {
            return None;
        }
        relay.entrance.acquire().await.ok()
    }

    async fn talk(
        &mut self,
        stream: &mut SplitStream<WebSocket>,
        mut heard: mpsc::UnboundedReceiver<(OpId, StoreReply)>,
    ) -> Result<(), Over> {
        let relay = Arc::clone(&self.relay);
        let clock = relay.clock;
        let mut stopping = relay.stopping.clone();
        let mut stopped = false;
        let mut starving_since = None;
        let mut next_ping = Instant::now() + ping_interval();
        let max_unstored = MAX_UNSTORED.max(relay.policy().max_envelope());
        loop {
            self.carry_out().await?;
            let unstored = self.session.unstored();
            let submitted = self.session.submitted();
            let held = unstored - submitted;
            let missing = relay.input.fit(&mut self.input, self.session.expected() - submitted).err();
            self.input_since = (held > 0).then(|| self.input_since.unwrap_or_else(Instant::now));
            // Who waits is waited for by nobody.
            self.due.input = self.input_since.filter(|_| missing.is_none()).map(|since| due(since, held));
            let starved = missing.map(|_| *starving_since.get_or_insert_with(Instant::now));
            starving_since = starved;
            let deadline = self.session.poll_timeout().map(|at| clock.instant(at));
            let far = Instant::now() + STUCK;
            tokio::select! {
                message = stream.next(), if starved.is_none() && unstored <= max_unstored => match message {
                    Some(Ok(message)) => {
                        let _turn = self.turn(&relay).await;
                        self.take(message)?;
                    }
                    Some(Err(error)) => {
                        debug!(%error, "the socket failed");
                        return Err(Over);
                    }
                    None => return Ok(()),
                },
                Some((id, reply)) = heard.recv() => {
                    let _turn = self.turn(&relay).await;
                    self.session.handle_stored(id, reply, clock.now());
                }
                () = self.seat.woken(), if self.session.wants_deliveries() => self.deliver().await?,
                share = relay.input.take(missing.unwrap_or(0)), if missing.is_some() => {
                    self.input.add(share);
                    self.input_since = Some(Instant::now());
                }
                () = sleep_until(starved.unwrap_or(far) + STUCK), if starved.is_some() => {
                    return self.give_up().await;
                }
                () = called_back(&relay.input, self.due.input) => return self.give_up().await,
                () = sleep_until(deadline.unwrap_or(far)), if deadline.is_some() => {
                    self.session.handle_timeout(clock.now());
                }
                () = sleep_until(next_ping) => {
                    next_ping = Instant::now() + ping_interval();
                    self.send(Message::Ping(Vec::new().into())).await?;
                    self.flush().await?;
                }
                () = asked(&mut stopping), if !stopped => {
                    stopped = true;
                    self.session.handle_shutdown(clock.now());
                }
            }
        }
    }

    /// What came in goes to the session.
    fn take(&mut self, message: Message) -> Result<(), Over> {
        let now = self.relay.clock.now();
        match message {
            Message::Binary(frame) => {
                trace!(bytes = frame.len(), "in");
                self.session.handle_frame(&frame, now);
                #[cfg(feature = "record")]
                crate::record::write(&self.session.take_recorded());
            }
            Message::Text(_) => self.session.handle_text(),
            Message::Ping(_) | Message::Pong(_) => self.session.handle_alive(now),
            Message::Close(_) => return Err(Over),
        }
        Ok(())
    }

    /// What the others have for this session, as long as the peer takes it.
    async fn deliver(&mut self) -> Result<(), Over> {
        for _ in 0..MAX_DELIVERIES {
            if !self.session.wants_deliveries() {
                return Ok(());
            }
            let Some(delivery) = self.seat.take() else {
                return Ok(());
            };
            self.session.handle_delivery(delivery, self.relay.clock.now());
            self.carry_out().await?;
        }
        self.seat.wake();
        Ok(())
    }

    /// Does what the session wants done, to the last of it.
    async fn carry_out(&mut self) -> Result<(), Over> {
        let mut sent = false;
        while let Some(output) = self.session.poll_output() {
            while let Some(code) = self.session.poll_refusal() {
                self.relay.metrics.refused(code);
            }
            match output {
                Output::Send(frame) => {
                    trace!(bytes = frame.len(), "out");
                    self.send(Message::Binary(frame.into())).await?;
                    sent = true;
                }
                Output::Write { id, mut op } => {
                    if let Err(refusal) = self.may_found(&mut op) {
                        let reply = StoreReply::Written(Err(refusal));
                        self.session.handle_stored(id, reply, self.relay.clock.now());
                        continue;
                    }
                    let held = self.hand_over(op.bytes()).await?;
                    self.relay.writer.submit(id, op, held, &self.replies).await;
                }
                Output::Read { id, op } => self.read(id, op).await?,
                Output::Register(registration) => {
                    debug!(group = ?registration.group, device = ?registration.device, "let in");
                    self.take_place().await?;
                    let bucket = self.seat.register(registration);
                    self.session.handle_registered(bucket);
                }
                Output::Presence { status } => self.seat.presence(status),
                Output::Close { code, reason } => {
                    debug!(code, reason, "closing");
                    self.send(close_message(code, &reason)).await?;
                    self.flush().await?;
                    return Err(Over);
                }
            }
        }
        if sent {
            self.hand_over_page().await?;
        }
        Ok(())
    }

    /// Ends the connection because the relay cannot go on with it now.
    async fn give_up(&mut self) -> Result<(), Over> {
        debug!("gave way to others");
        self.relay.metrics.refused(ErrorCode::Unavailable);
        let message = close_message(ErrorCode::Unavailable.close_code(), BUSY);
        let _ = timeout(EVICTING, self.sink.send(message)).await;
        Err(Over)
    }

    /// From now on the connection is a member's.
    async fn take_place(&mut self) -> Result<(), Over> {
        let Ok(place) = Arc::clone(&self.relay.places).try_acquire_owned() else {
            self.relay.metrics.refused(ErrorCode::Unavailable);
            self.send(close_message(ErrorCode::Unavailable.close_code(), FULL)).await?;
            self.flush().await?;
            return Err(Over);
        };
        self.relay.metrics.counters().sessions.increment(1);
        self.who.place = Some(place);
        self.who.guest.leave();
        Ok(())
    }

    /// Whether a write may make a group, if it would, and from where that comes.
    fn may_found(&self, op: &mut WriteOp) -> Result<(), Refusal> {
        let WriteOp::Admit(admit) = op else {
            return Ok(());
        };
        admit.origin = self.who.address.map(|address| address.origin(&self.relay.origin_key));
        if !self.founds {
            return Ok(());
        }
        let now = self.relay.clock.now().mono;
        let taken = self.relay.rations.take(self.who.address, Ration::NewGroup, now);
        taken.map_err(|wait| Refusal::NewGroupsRationed { wait })
    }

    /// The share of a write that goes to storage, which may have it for longer than this session lives.
    async fn hand_over(&mut self, bytes: usize) -> Result<Share, Over> {
        let mut held = self.input.split(bytes);
        (self.input_since, self.due.input) = (None, None);
        if let Err(missing) = self.relay.input.fit(&mut held, bytes) {
            self.hand_over_page().await?;
            let Ok(more) = timeout(STUCK, self.relay.input.take(missing)).await else {
                return self.give_up().await.and(Err(Over));
            };
            held.add(more);
        }
        Ok(held)
    }

    /// The peer takes what there is for it, to the last of it.
    async fn hand_over_page(&mut self) -> Result<(), Over> {
        self.flush().await?;
        (self.page, self.due.page) = (Share::default(), None);
        Ok(())
    }

    async fn read(&mut self, id: OpId, op: ReadOp) -> Result<(), Over> {
        if let ReadOp::Pull(page) = &op {
            // Who waits for a share of it holds none: else all could wait for each other.
            self.hand_over_page().await?;
            let share = timeout(STUCK, self.relay.output.take(page.max_bytes));
            let Ok(share) = unless_called_back(&self.relay, self.due, share).await? else {
                return self.give_up().await;
            };
            (self.page, self.due.page) = (share, Some(due(Instant::now(), page.max_bytes)));
        }
        let reply = match self.relay.store.read(&op).await {
            Ok(mut result) => {
                if let ReadResult::Page(page) = &result {
                    let bytes = |blob: &StoredBlob| blob.payload.as_ref().map_or(0, Vec::len);
                    let bytes = page.blobs.iter().map(|blob| bytes(blob) + PullPage::BLOB_OVERHEAD).sum();
                    let _ = self.relay.output.fit(&mut self.page, bytes);
                    self.due.page = Some(due(Instant::now(), bytes));
                }
                let now = self.relay.clock.now();
                self.relay.fanout.mark_online(&op, &mut result, now);
                self.founds = matches!(result, ReadResult::KeyLog(None));
                StoreReply::Read(result)
            }
            Err(failure) => {
                let cause: &dyn std::error::Error = &failure;
                tracing::error!(cause = cause.source(), "a read failed");
                StoreReply::Unavailable
            }
        };
        let relay = Arc::clone(&self.relay);
        let _turn = self.turn(&relay).await;
        self.session.handle_stored(id, reply, relay.clock.now());
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Over> {
        taken(&self.relay, self.due, self.sink.feed(message)).await
    }

    async fn flush(&mut self) -> Result<(), Over> {
        taken(&self.relay, self.due, self.sink.flush()).await
    }
}

/// Waits until the peer has taken something, as long as that may take.
async fn taken(
    relay: &Relay,
    due: Due,
    sending: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), Over> {
    match unless_called_back(relay, due, timeout(STUCK, sending)).await? {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Over),
    }
}

/// Waits for something, unless a share that is held meanwhile has to go to others.
async fn unless_called_back<T>(relay: &Relay, due: Due, what: impl Future<Output = T>) -> Result<T, Over> {
    tokio::select! {
        done = what => return Ok(done),
        () = called_back(&relay.input, due.input) => {}
        () = called_back(&relay.output, due.page) => {}
    }
    debug!("gave way to others");
    relay.metrics.refused(ErrorCode::Unavailable);
    Err(Over)
}

/// Waits until a share that is held has to go to others; for ever, if none is.
async fn called_back(budget: &Budget, due: Option<Instant>) {
    match due {
        Some(due) => {
            sleep_until(due).await;
            budget.short().await;
        }
        None => std::future::pending().await,
    }
}

/// When a share of so many bytes has to go, that is held since then.
fn due(since: Instant, bytes: usize) -> Instant {
    since + GRACE + Duration::from_millis((bytes / SLOWEST) as u64)
}

/// Waits for the peer to close, too: what it has still sent would otherwise make the system throw away
/// what it has yet to read.
async fn close(mut sink: SplitSink<WebSocket, Message>, mut stream: SplitStream<WebSocket>) {
    let both = async {
        let _ = sink.close().await;
        while let Some(Ok(_)) = stream.next().await {}
    };
    let _ = timeout(CLOSING, both).await;
}

fn close_message(code: u16, reason: &str) -> Message {
    let end = (0..=MAX_REASON.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    let reason = reason.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// Up to a fifth less than the interval, so that a thousand sessions do not ping at once.
fn ping_interval() -> Duration {
    let mut random = [0; 2];
    let _ = getrandom::fill(&mut random);
    let less = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX) / 5.0;
    PING_INTERVAL.mul_f64(1.0 - less)
}
