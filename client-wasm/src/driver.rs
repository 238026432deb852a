//! The loop around the engine: it owns the socket and the store, and decides nothing.
//!
//! Everything of one device happens in one task, in slices: what has come is taken until a slice is
//! over, what follows from it is stored and sent, and then the page may draw.

mod recover;
mod session;
mod view;

use litemap::LiteMap;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use sync_engine::{Change, Command, CommandId, EngineError, Event, Input, Output, Reply};
use sync_types::{BlobId, Cursor, ErrorCode, MonoMs};

use crate::browser::{breathe, performance_now};
use crate::clock::{mono_now, now, unix_now};
use crate::request::{Answer, Message};
use crate::socket::{Incoming, Socket, SocketId};
use crate::store::StoreError;
use crate::{Error, left_acks};
pub(crate) use session::Session;
pub(crate) use view::View;

/// How long to work before the page gets its turn, in milliseconds. One message may take as long again.
const SLICE: f64 = 8.0;
/// How often to look at the wall clock: a jump means that the machine slept.
const CLOCK_CHECK: Duration = Duration::from_secs(15);

/// Why the loop ends.
enum End {
    /// The store failed: the engine is ahead of it.
    Broken(StoreError),
    /// Nobody uses this device any more.
    Closed(Option<oneshot::Sender<()>>),
}

/// A command that the engine has not answered.
struct Pending {
    /// The same once more, for those that do not depend on the engine that was asked.
    again: Option<Command>,
    /// A push of this tab's or of another one's; None: not a push.
    push: Option<Whose>,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    ThisTab,
    AnotherTab,
}

pub(crate) struct Driver {
    store: String,
    messages: UnboundedReceiver<Message>,
    /// For sockets and stores, which report here.
    to_self: UnboundedSender<Message>,
    view: Rc<View>,
    wanted: bool,
    next_id: u64,
    next_socket: u64,
    pending: LiteMap<CommandId, Pending>,
    /// Pushes whose result only this tab waits for.
    own: LiteMap<BlobId, ()>,
    /// When to see whether a full store has room again; None: it is not full.
    full_until: Option<MonoMs>,
    /// Whether connecting waits for that, because it was what found no room.
    held: bool,
    slice_start: f64,
}

impl Driver {
    pub(crate) fn new(
        store: String,
        messages: UnboundedReceiver<Message>,
        to_self: UnboundedSender<Message>,
        view: Rc<View>,
    ) -> Self {
        Self {
            store,
            messages,
            to_self,
            view,
            wanted: false,
            next_id: 0,
            next_socket: 0,
            pending: LiteMap::new(),
            own: LiteMap::new(),
            full_until: None,
            held: false,
            slice_start: performance_now(),
        }
    }

    /// Runs until nobody uses the device any more, or the store belongs to somebody else.
    pub(crate) async fn run(mut self, mut session: Session) {
        loop {
            let error = match self.drive(&mut session).await {
                End::Closed(done) => {
                    drop(session);
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                    return;
                }
                End::Broken(error) => error,
            };
            drop(session);
            let unanswered = self.broken(&error);
            let reopened = self.reopen(error.clone()).await;
            if let Some(reopened) = &reopened {
                // Who is refused and looks shall see what is really there.
                self.publish(reopened);
            }
            let mut once_more = Vec::new();
            for Pending { again, answer, .. } in unanswered {
                match again.filter(|_| reopened.is_some() && matches!(error, StoreError::Full)) {
                    Some(command) => once_more.push((command, answer)),
                    None => answer.give(Err(error.clone().into())),
                }
            }
            let Some(reopened) = reopened else { return };
            session = reopened;
            for (command, answer) in once_more {
                self.ask(&mut session, command, None, answer);
            }
        }
    }

    async fn drive(&mut self, session: &mut Session) -> End {
        let expired = left_acks::expire(unix_now(), &mut session.own_rows);
        if !expired.is_empty()
            && let Err(error) = session.store.apply(expired).await
        {
            return End::Broken(error);
        }
        self.connect_if_wanted(session);
        loop {
            // Between what came and what follows from it, and after that: either may have taken long.
            self.pause_if_due().await;
            if let Err(error) = self.work(session).await {
                return End::Broken(error);
            }
            self.pause_if_due().await;
            let mut next = match self.messages.try_recv() {
                Ok(message) => Some(message),
                Err(_) => self.wait(session).await,
            };
            if next.is_none() {
                session.engine.handle(now(), Input::Tick);
                if let Err(error) = self.probe(session).await {
                    return End::Broken(error);
                }
            }
            while let Some(message) = next {
                match self.take(session, message).await {
                    Ok(()) => {}
                    Err(end) => return end,
                }
                next = if self.slice_is_over() { None } else { self.messages.try_recv().ok() };
            }
        }
    }

    async fn pause_if_due(&mut self) {
        if self.slice_is_over() {
            breathe().await;
            self.slice_start = performance_now();
        }
    }

    fn slice_is_over(&self) -> bool {
        performance_now() - self.slice_start >= SLICE
    }

    /// The next message; none when it is time for something else.
    async fn wait(&mut self, session: &Session) -> Option<Message> {
        let at = mono_now();
        let check = at.plus(CLOCK_CHECK);
        let deadlines = [session.engine.poll_timeout(), self.full_until, Some(check)];
        let first = deadlines.into_iter().flatten().min().unwrap_or(check);
        // Rounded up: a timer that rings early would ring again and again.
        let millis = u32::try_from(first.since(at).as_millis()).unwrap_or(u32::MAX).saturating_add(1);
        let next = match select(self.messages.next(), TimeoutFuture::new(millis)).await {
            Either::Left((Some(message), _)) => Some(message),
            Either::Left((None, _)) | Either::Right(_) => None,
        };
        self.slice_start = performance_now();
        next
    }

    /// Does what the engine wants until it wants nothing more.
    async fn work(&mut self, session: &mut Session) -> Result<(), StoreError> {
        loop {
            let outputs: Vec<Output> = std::iter::from_fn(|| session.engine.poll_output()).collect();
            // Before any event goes out: who hears of a connection and asks shall find it.
            self.publish(session);
            if outputs.is_empty() {
                return Ok(());
            }
            let (mut changes, mut batches) = (Vec::new(), Vec::new());
            for output in outputs {
                match output {
                    Output::Connect(relay) => {
                        self.next_socket += 1;
                        let id = SocketId(self.next_socket);
                        session.socket = Some(Socket::open(&relay, id, &self.to_self));
                    }
                    Output::Send(frame) => {
                        if let Some(socket) = &session.socket {
                            socket.send(&frame);
                        }
                    }
                    Output::Disconnect => session.socket = None,
                    Output::Store(batch, more) => {
                        changes.extend(more);
                        batches.push(batch);
                    }
                    Output::Event(event) => changes.extend(self.event(session, &event)),
                    Output::Reply(id, result) => self.reply(id, result),
                }
            }
            if !changes.is_empty() {
                let writes = changes.iter().any(|change| change.value.is_some());
                session.store.apply(changes).await?;
                self.slice_start = performance_now();
                if writes {
                    self.has_room(session);
                }
            }
            for batch in batches {
                session.engine.handle(now(), Input::Stored(batch));
            }
            self.pause_if_due().await;
        }
    }

    async fn take(&mut self, session: &mut Session, message: Message) -> Result<(), End> {
        match message {
            Message::Ask(command, answer) => {
                match command {
                    Command::Connect => {
                        self.wanted = true;
                        self.held = false;
                    }
                    Command::Disconnect => self.wanted = false,
                    Command::Push { .. }
                    | Command::Flush
                    | Command::Read { .. }
                    | Command::Pull { .. }
                    | Command::Ack { .. }
                    | Command::Devices
                    | Command::SealInvite { .. }
                    | Command::Join(_)
                    | Command::TrustRelay(_)
                    | Command::Rotate { .. }
                    | Command::Restore
                    | Command::Leave
                    | Command::DeleteGroup
                    | Command::Membership
                    | Command::InviteTaken => {}
                }
                self.ask(session, command, None, answer);
            }
            Message::Push(push, answer) => {
                let whose = if push.own { Whose::ThisTab } else { Whose::AnotherTab };
                self.ask(session, push.command(), Some(whose), answer);
            }
            Message::Woke => session.engine.handle(now(), Input::Woke),
            Message::Socket(id, incoming) => Self::incoming(session, id, incoming),
            Message::StoreLost => {
                return Err(End::Broken(StoreError::Failed("the browser closed it".to_owned())));
            }
            Message::Recall(key, answer) => {
                let _ = answer.send(session.own_rows.get(&key).cloned());
            }
            Message::Remember(change, answer) => {
                match &change.value {
                    Some(value) => session.own_rows.insert(change.key.clone(), value.clone()),
                    None => session.own_rows.remove(&change.key),
                };
                let stored = session.store.apply(vec![change]).await;
                let _ = answer.send(stored.clone().map_err(Error::from));
                stored.map_err(End::Broken)?;
            }
            Message::Outcomes(blob_ids, answer) => {
                let _ = answer.send(left_acks::find(&session.own_rows, &blob_ids));
            }
            Message::Close(done) => return Err(End::Closed(Some(done))),
        }
        Ok(())
    }

    fn incoming(session: &mut Session, id: SocketId, incoming: Incoming) {
        let Some(socket) = session.socket.as_ref().filter(|socket| socket.id == id) else {
            return;
        };
        socket.taken(&incoming);
        let input = match incoming {
            Incoming::Opened => Input::Connected,
            Incoming::Frame(frame) => Input::Frame(frame),
            Incoming::Closed(code) => {
                session.socket = None;
                Input::Closed(code)
            }
        };
        session.engine.handle(now(), input);
    }

    fn ask(&mut self, session: &mut Session, command: Command, push: Option<Whose>, answer: Answer) {
        let id = CommandId(self.next_id);
        self.next_id += 1;
        let again = again(&command);
        self.pending.insert(id, Pending { again, push, answer });
        session.engine.handle(now(), Input::Command(id, command));
    }

    fn connect_if_wanted(&mut self, session: &mut Session) {
        if self.wanted && !self.held {
            self.ask(session, Command::Connect, None, Answer::nobody());
        }
    }

    fn reply(&mut self, id: CommandId, result: Result<Reply, EngineError>) {
        let Some(pending) = self.pending.remove(&id) else { return };
        if let (Some(Whose::ThisTab), Ok(Reply::Queued(blob_id))) = (pending.push, &result) {
            self.own.insert(*blob_id, ());
        }
        pending.answer.give(result.map_err(|error| self.view.named(error.into())));
    }

    /// Passes an event on; gives what has to be remembered for other tabs.
    fn event(&mut self, session: &mut Session, event: &Event) -> Option<Change> {
        let left = match event {
            Event::PushAcked { blob_id, cursor } => self.pushed(session, *blob_id, Ok(*cursor)),
            Event::PushRejected { blob_id, code } => self.pushed(session, *blob_id, Err(*code)),
            Event::PushRenamed { from, to } => {
                if self.own.remove(from).is_some() {
                    self.own.insert(*to, ());
                }
                None
            }
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
            | Event::RelayMisbehaved => None,
        };
        self.view.event(event);
        left
    }

    fn pushed(
        &mut self,
        session: &mut Session,
        blob_id: BlobId,
        result: Result<Cursor, ErrorCode>,
    ) -> Option<Change> {
        if self.own.remove(&blob_id).is_some() {
            return None;
        }
        let change = left_acks::leave(unix_now(), blob_id, result);
        session.own_rows.extend(change.value.clone().map(|value| (change.key.clone(), value)));
        Some(change)
    }

    fn publish(&self, session: &Session) {
        self.view.publish(session.engine.status(), self.wanted, self.full_until.is_some());
    }
}

/// The same once more, for those that another engine can answer as well.
fn again(command: &Command) -> Option<Command> {
    match command {
        Command::Flush => Some(Command::Flush),
        Command::Read { limit, has } => Some(Command::Read { limit: *limit, has: *has }),
        Command::Pull { after, limit } => Some(Command::Pull { after: *after, limit: *limit }),
        Command::Devices => Some(Command::Devices),
        Command::SealInvite { lookup, key } => {
            Some(Command::SealInvite { lookup: *lookup, key: key.clone() })
        }
        Command::Rotate { remove, keep_history } => {
            Some(Command::Rotate { remove: remove.clone(), keep_history: *keep_history })
        }
        Command::Restore => Some(Command::Restore),
        Command::Leave => Some(Command::Leave),
        Command::DeleteGroup => Some(Command::DeleteGroup),
        Command::Membership => Some(Command::Membership),
        Command::InviteTaken => Some(Command::InviteTaken),
        Command::Connect
        | Command::Disconnect
        | Command::Push { .. }
        | Command::Ack { .. }
        | Command::Join(_)
        | Command::TrustRelay(_) => None,
    }
}
