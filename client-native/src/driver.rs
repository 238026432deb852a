//! The loop around the engine: it owns the socket and the store, and decides nothing.
//!
//! Everything of one device happens in one task. Between turns (see [`home`](crate::home)) there is no
//! engine at all: requests wait, and are asked when the next turn begins.

mod session;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sync_engine::{Command, CommandId, EngineError, Event, Input, Output, Reply, Status};
use sync_types::{BlobId, Cursor, ErrorCode};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::clock::Clock;
use crate::request::{Answer, Ask, Request};
use crate::socket::{Incoming, Socket};
use crate::store::StoreError;
use crate::{Error, PushReceipt, left_acks};
pub(crate) use session::{Opening, OwnRows, Session};

/// How often to look whether another process wants the folder.
const PROBE: Duration = Duration::from_millis(200);
/// A turn lasts at least this long, so that two processes that both stay do not only take turns.
const SHORTEST_TURN: Duration = Duration::from_secs(1);
/// Then a turn ends for another process even in the middle of something. Until then it goes on, so that
/// a slow line gets a connection made and a blob through before everything starts anew.
const LONGEST_TURN: Duration = Duration::from_secs(30);
/// How often to look at the wall clock: a jump means that the machine slept.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// Requests and frames taken before what they led to is stored and sent.
const AT_ONCE: usize = 256;
/// Between attempts to use a store that failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Why a turn ends.
enum End {
    /// Another process waits.
    OthersTurn,
    /// The store failed: the engine is ahead of it.
    Broken(StoreError),
    /// Nobody uses this client any more.
    Closed(Option<oneshot::Sender<()>>),
}

/// A command that the engine has not answered, and how to ask it again in another turn.
struct Pending {
    again: Option<Ask>,
    answer: Answer,
}

pub(crate) struct Driver {
    pub(crate) opening: Opening,
    pub(crate) auto_reconnect: bool,
    pub(crate) clock: Clock,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) own: Own,
}

/// What outlives a turn.
#[derive(Default)]
pub(crate) struct Own {
    wanted: bool,
    next_id: u64,
    pending: BTreeMap<CommandId, Pending>,
    backlog: VecDeque<Request>,
    receipts: HashMap<BlobId, oneshot::Sender<Result<Cursor, Error>>>,
}

impl Driver {
    /// Runs until nobody uses the client any more.
    pub(crate) async fn run(mut self, first: Session) {
        let mut session = Some(first);
        loop {
            let Some(mut turn) = session.take() else { return };
            let end = self.drive(&mut turn).await;
            self.publish(Status { connected: false, ..turn.engine.status() });
            match end {
                End::OthersTurn => {
                    tracing::debug!("another process waits: it is its turn");
                    self.take_back();
                    turn.end().await;
                }
                End::Broken(error) => {
                    tracing::error!(%error, "the local store failed");
                    drop(turn);
                    self.fail(&Error::from(error));
                    sleep(STORE_RETRY).await;
                }
                End::Closed(done) => {
                    turn.end().await;
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                    return;
                }
            }
            session = self.next_turn().await;
        }
    }

    /// One turn: from its first request to the reason for its end.
    async fn drive(&mut self, session: &mut Session) -> End {
        let receipts = &mut self.own.receipts;
        let mut done = left_acks::follow(&mut session.own_rows, |from, to| match receipts.remove(&from) {
            Some(receipt) => receipts.insert(to, receipt).is_none(),
            None => false,
        });
        let found = left_acks::take(&mut session.own_rows, self.clock.unix(), |blob_id| {
            receipts.contains_key(blob_id)
        });
        done.extend(found.deletions);
        if let Err(error) = session.store.apply(done).await {
            return End::Broken(error);
        }
        for (blob_id, result) in found.acks {
            self.settle(blob_id, result);
            self.tell(match result {
                Ok(cursor) => Event::PushAcked { blob_id, cursor },
                Err(code) => Event::PushRejected { blob_id, code },
            });
        }
        if self.own.wanted {
            self.ask(session, Ask::Connect, Answer::Nobody);
        }
        // Taken one by one: what a turn that ends here leaves is for the next one.
        while let Some(request) = self.own.backlog.pop_front() {
            if let Some(end) = self.request(session, request).await {
                return end;
            }
        }

        let mut probe = interval(PROBE);
        probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock_checked = Instant::now();
        loop {
            if let Err(error) = self.work(session).await {
                return End::Broken(error);
            }
            let deadline = session.engine.poll_timeout().map(|at| self.clock.instant(at));
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return End::Closed(None) };
                    if let Some(end) = self.request(session, request).await {
                        return end;
                    }
                    for _ in 1..AT_ONCE {
                        let Ok(request) = self.requests.try_recv() else { break };
                        if let Some(end) = self.request(session, request).await {
                            return end;
                        }
                    }
                }
                incoming = next(&mut session.socket) => {
                    self.incoming(session, incoming);
                    for _ in 1..AT_ONCE {
                        let Some(incoming) = session.socket.as_mut().and_then(Socket::ready) else { break };
                        self.incoming(session, incoming);
                    }
                }
                () = until(deadline) => session.engine.handle(self.clock.now(), Input::Tick),
                _ = probe.tick() => {
                    let at_least = if self.is_quiet(session) { SHORTEST_TURN } else { LONGEST_TURN };
                    if session.turn.is_over(at_least) && self.can_pause() {
                        return End::OthersTurn;
                    }
                    if clock_checked.elapsed() >= CLOCK_CHECK {
                        clock_checked = Instant::now();
                        session.engine.handle(self.clock.now(), Input::Tick);
                    }
                }
            }
        }
    }

    /// Does what the engine wants until it wants nothing more.
    async fn work(&mut self, session: &mut Session) -> Result<(), StoreError> {
        loop {
            let outputs: Vec<Output> = std::iter::from_fn(|| session.engine.poll_output()).collect();
            // Before any event goes out: who hears of a connection and asks shall find it.
            self.publish(session.engine.status());
            if outputs.is_empty() {
                return Ok(());
            }
            let (mut changes, mut batches) = (Vec::new(), Vec::new());
            for output in outputs {
                match output {
                    Output::Connect(relay) => session.socket = Some(Socket::open(&relay)),
                    Output::Send(frame) => {
                        tracing::trace!(len = frame.len(), "sent a frame");
                        if let Some(socket) = &session.socket {
                            socket.send(frame);
                        }
                    }
                    Output::Disconnect => session.socket = None,
                    Output::Store(batch, more) => {
                        changes.extend(more);
                        batches.push(batch);
                    }
                    Output::Event(event) => changes.extend(self.event(session, event)),
                    Output::Reply(id, result) => self.reply(id, result),
                }
            }
            if !changes.is_empty() {
                session.store.apply(changes).await?;
            }
            for batch in batches {
                session.engine.handle(self.clock.now(), Input::Stored(batch));
            }
        }
    }

    fn incoming(&self, session: &mut Session, incoming: Incoming) {
        let input = match incoming {
            Incoming::Opened => Input::Connected,
            Incoming::Frame(frame) => {
                tracing::trace!(len = frame.len(), "received a frame");
                Input::Frame(frame)
            }
            Incoming::Closed(code) => {
                tracing::debug!(code, "the connection is closed");
                session.socket = None;
                Input::Closed(code)
            }
        };
        session.engine.handle(self.clock.now(), input);
    }

    /// Takes a request of the app's; gives the turn's end if this is it.
    async fn request(&mut self, session: &mut Session, request: Request) -> Option<End> {
        match request {
            Request::Ask(ask, answer) => {
                match &ask {
                    Ask::Connect => self.own.wanted = true,
                    Ask::Disconnect => self.own.wanted = false,
                    Ask::Push { .. }
                    | Ask::Flush
                    | Ask::Read { .. }
                    | Ask::Pull { .. }
                    | Ask::Ack { .. }
                    | Ask::Devices
                    | Ask::SealInvite { .. }
                    | Ask::Join(_)
                    | Ask::TrustRelay(_)
                    | Ask::Rotate { .. }
                    | Ask::Restore
                    | Ask::Leave
                    | Ask::DeleteGroup
                    | Ask::Membership
                    | Ask::InviteTaken => {}
                }
                self.ask(session, ask, answer);
            }
            Request::Woke => session.engine.handle(self.clock.now(), Input::Woke),
            Request::Recall(key, answer) => {
                let _ = answer.send(session.own_rows.get(&key).cloned());
            }
            Request::Remember(change, answer) => {
                match &change.value {
                    Some(value) => session.own_rows.insert(change.key.clone(), value.clone()),
                    None => session.own_rows.remove(&change.key),
                };
                if let Err(error) = session.store.apply(vec![change]).await {
                    return Some(End::Broken(error));
                }
                let _ = answer.send(());
            }
            Request::Close(done) => return Some(End::Closed(Some(done))),
        }
        None
    }

    fn ask(&mut self, session: &mut Session, ask: Ask, answer: Answer) {
        let id = CommandId(self.own.next_id);
        self.own.next_id += 1;
        let again = ask.again();
        self.own.pending.insert(id, Pending { again, answer });
        session.engine.handle(self.clock.now(), Input::Command(id, Command::from(ask)));
    }

    fn reply(&mut self, id: CommandId, result: Result<Reply, EngineError>) {
        let Some(pending) = self.own.pending.remove(&id) else {
            return;
        };
        let result = result.map_err(|error| self.named(error));
        match (pending.answer, result) {
            (Answer::Nobody, _) => {}
            (Answer::Reply(answer), result) => {
                let _ = answer.send(result);
            }
            (Answer::Receipt(answer), Ok(Reply::Queued(blob_id))) => {
                let (settled, acked) = oneshot::channel();
                self.own.receipts.insert(blob_id, settled);
                let _ = answer.send(Ok(PushReceipt::new(blob_id, acked)));
            }
            (Answer::Receipt(answer), Err(error)) => {
                let _ = answer.send(Err(error));
            }
            (Answer::Receipt(_), Ok(_)) => tracing::error!("a push was answered with something else"),
        }
    }

    /// The error with the relay's address in it.
    fn named(&self, error: EngineError) -> Error {
        let error = Error::from(error);
        if let Error::Unreachable(None) = error {
            return Error::Unreachable(self.status.borrow().relay.clone());
        }
        error
    }

    /// Passes an event on; gives what has to be remembered for other processes.
    fn event(&mut self, session: &mut Session, event: Event) -> Option<sync_engine::Change> {
        let mut left = None;
        match &event {
            Event::PushAcked { blob_id, cursor } => left = self.pushed(*blob_id, Ok(*cursor)),
            Event::PushRejected { blob_id, code } => left = self.pushed(*blob_id, Err(*code)),
            Event::Disconnected { stopped: None } if !self.auto_reconnect && self.own.wanted => {
                self.own.wanted = false;
                self.ask(session, Ask::Disconnect, Answer::Nobody);
            }
            Event::PushRenamed { from, to } => left = self.renamed(*from, *to),
            Event::Connected
            | Event::Disconnected { .. }
            | Event::BlobAvailable { .. }
            | Event::RelayFull { .. }
            | Event::DeviceJoined { .. }
            | Event::DeviceRemoved { .. }
            | Event::KeyRotated { .. }
            | Event::UnknownDevice { .. }
            | Event::InviteMisused
            | Event::PresenceChanged { .. }
            | Event::HistoryTruncated { .. }
            | Event::RelayReset
            | Event::RestoreWaits
            | Event::BlobRefused { .. }
            | Event::ChainBroken { .. }
            | Event::Forked { .. }
            | Event::RotationRefused { .. }
            | Event::RotationWithheld { .. }
            | Event::RelayMisbehaved => {}
        }
        tracing::debug!(?event, "event");
        self.tell(event);
        left
    }

    /// Settles a push of this process's, or notes the result for the process that waits for it.
    fn pushed(&mut self, blob_id: BlobId, result: Result<Cursor, ErrorCode>) -> Option<sync_engine::Change> {
        if self.settle(blob_id, result) {
            None
        } else {
            Some(left_acks::leave(blob_id, result, self.clock.unix()))
        }
    }

    /// Follows a push of this process's to its new id, or notes that for the process that waits for it.
    fn renamed(&mut self, from: BlobId, to: BlobId) -> Option<sync_engine::Change> {
        match self.own.receipts.remove(&from) {
            Some(receipt) => {
                self.own.receipts.insert(to, receipt);
                None
            }
            None => Some(left_acks::rename(from, to, self.clock.unix())),
        }
    }

    fn settle(&mut self, blob_id: BlobId, result: Result<Cursor, ErrorCode>) -> bool {
        let Some(receipt) = self.own.receipts.remove(&blob_id) else {
            return false;
        };
        let refused = |code: ErrorCode| Error::Refused { code: Some(code), message: code.to_string() };
        let _ = receipt.send(result.map_err(refused));
        true
    }

    fn tell(&self, event: Event) {
        // It is no error that nobody listens.
        let _ = self.events.send(event);
    }

    fn publish(&self, status: Status) {
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    /// Whether everything that was asked can be asked again in another turn.
    fn can_pause(&self) -> bool {
        self.own.pending.values().all(|pending| pending.again.is_some())
    }

    /// Whether nothing is under way that would have to start anew in another turn.
    fn is_quiet(&self, session: &Session) -> bool {
        let status = session.engine.status();
        if status.connected {
            status.pending_push == 0 && self.own.pending.is_empty()
        } else {
            // A socket without a connection is an attempt.
            session.socket.is_none()
        }
    }

    /// Puts what was not answered back in front of the queue.
    fn take_back(&mut self) {
        for (_, pending) in std::mem::take(&mut self.own.pending).into_iter().rev() {
            if let (Some(ask), false) = (pending.again, matches!(pending.answer, Answer::Nobody)) {
                self.own.backlog.push_front(Request::Ask(ask, pending.answer));
            }
        }
    }

    /// Tells everybody who waits that there is no state to work with.
    fn fail(&mut self, error: &Error) {
        let again = || {
            if let Error::Store(error) = error {
                return Error::Store(Arc::clone(error));
            }
            if let Error::NoDevice(folder) = error {
                return Error::NoDevice(folder.clone());
            }
            Error::Machine("the local store cannot be opened any more")
        };
        for (_, pending) in std::mem::take(&mut self.own.pending) {
            pending.answer.fail(again());
        }
        for request in std::mem::take(&mut self.own.backlog) {
            if let Request::Ask(_, answer) = request {
                answer.fail(again());
            }
        }
    }

    /// Waits for the next turn; requests queue up meanwhile. None: nobody needs it any more.
    async fn next_turn(&mut self) -> Option<Session> {
        loop {
            let opened = {
                let opening = self.opening.clone();
                let mut open = std::pin::pin!(opening.next());
                loop {
                    tokio::select! {
                        opened = &mut open => break opened,
                        request = self.requests.recv() => {
                            let request = request?;
                            if let Request::Close(done) = request {
                                let _ = done.send(());
                                return None;
                            }
                            self.own.backlog.push_back(request);
                        }
                    }
                }
            };
            match opened {
                Ok(session) => return Some(session),
                Err(error @ Error::NoDevice(_)) => {
                    self.fail(&error);
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, "the local store cannot be opened");
                    self.fail(&error);
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }
}

/// What comes next from the socket; never anything without one.
async fn next(socket: &mut Option<Socket>) -> Incoming {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
