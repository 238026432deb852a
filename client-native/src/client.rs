//! The handle that an app holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sync_engine::{DeviceInfo, Event, NewDevice, Page, PageEnd, Reply, Status};
use sync_types::{Cursor, DeviceSecret, RelayAddress, RelayKey};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::clock::{Clock, rng};
use crate::driver::{Driver, Opening, Own};
use crate::home::Home;
use crate::key::KeyPlace;
use crate::request::{Answer, Ask, Request};
use crate::store::{self, Store};
use crate::wipe::Place;
use crate::{Error, Events, PushReceipt, Statuses, SyncConfig, key};

/// Events kept for a subscriber that is busy.
const EVENTS: usize = 1024;
/// How long the keychain may take, with a person who unlocks it.
pub(crate) const KEYCHAIN_PATIENCE: Duration = Duration::from_secs(120);

/// One device, in use. Cheap to clone; all clones are the same device. When the last one is dropped the
/// connection is closed; what was pushed and not sent stays in the outbox.
///
/// # Calling order
/// Anything may be called at any time. [`push`](Self::push), [`status`](Self::status) and
/// [`ack`](Self::ack) need no connection. [`pull`](Self::pull), [`devices`](Self::devices) and
/// [`create_invite`](Self::create_invite) need [`connect`](Self::connect) before them: they wait for a
/// connection that is being made, and fail with [`Error::Unreachable`] when it is not.
///
/// # At least once
/// [`pull_since_last_cursor`](Self::pull_since_last_cursor) gives the same blobs again until the app
/// has said that it has them, by [`ack`](Self::ack) or by asking for the next page. Store what you
/// read, then acknowledge it, and nothing is lost when the app is killed in between.
#[derive(Debug, Clone)]
pub struct SyncClient {
    requests: mpsc::UnboundedSender<Request>,
    events: broadcast::Sender<Event>,
    status: watch::Receiver<Status>,
    configured: Arc<Configured>,
    /// The end of the last page that reached the app.
    has: Arc<Mutex<Option<PageEnd>>>,
}

/// What does not change.
#[derive(Debug)]
struct Configured {
    key_place: KeyPlace,
    relay: Option<RelayAddress>,
    place: Place,
    clock: Clock,
}

/// What to do about a device that is there already, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    New,
    Stored,
    Either,
}

impl SyncClient {
    /// Uses the device of the configured folder, and makes it when there is none. Does not connect.
    ///
    /// Needs a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process does not let go of the folder; [`Error::OtherDevice`]; and
    /// what can go wrong with files and keychains.
    pub async fn new(config: SyncConfig) -> Result<Self, Error> {
        Self::start(config, Wish::Either).await
    }

    /// As [`new`](Self::new), but fails with [`Error::NoDevice`] when there is no device yet.
    pub async fn open(config: SyncConfig) -> Result<Self, Error> {
        Self::start(config, Wish::Stored).await
    }

    /// As [`new`](Self::new), but fails with [`Error::DeviceExists`] when there is a device already.
    pub async fn create(config: SyncConfig) -> Result<Self, Error> {
        Self::start(config, Wish::New).await
    }

    async fn start(mut config: SyncConfig, wish: Wish) -> Result<Self, Error> {
        let folder = config.folder.clone();
        if wish == Wish::Stored && !store::path(&folder).exists() {
            return Err(Error::NoDevice(folder));
        }
        let home = Home::prepare(&folder)?;
        let turn = home.enter(config.open_timeout).await?;
        let (key, key_place) = load_key(&config, wish != Wish::Stored).await?;
        let (store, loaded) = Store::open(&folder, key.clone()).await?;
        let opening = Opening { home, key, keep_sent: config.keep_sent };
        let clock = Clock::start(config.wall_clock);
        let is_new = loaded.engine.is_empty();
        let (group_key, passphrase_group) = (config.group_key.take(), config.passphrase_group.take());
        let session = match (is_new, wish) {
            (true, Wish::Stored) => return Err(Error::NoDevice(folder)),
            (false, Wish::New) => return Err(Error::DeviceExists(folder)),
            (true, Wish::New | Wish::Either) => {
                let device = new_device(&mut config)?;
                opening.create(&clock, turn, store, device).await?
            }
            (false, Wish::Stored | Wish::Either) => opening.session(turn, store, loaded)?,
        };
        let status = session.engine.status();
        let other = |pair: &DeviceSecret| !is_new && pair.id() != status.device_id;
        if config.device_keypair.as_ref().is_some_and(other) {
            return Err(Error::OtherDevice(folder));
        }

        let (requests, receiver) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS);
        let (publish, status) = watch::channel(status);
        let driver = Driver {
            opening,
            auto_reconnect: config.auto_reconnect,
            clock,
            requests: receiver,
            events: events.clone(),
            status: publish,
            own: Own::default(),
        };
        tokio::spawn(driver.run(session));
        let place = Place::of(&config);
        let configured = Arc::new(Configured { key_place, relay: config.relay_url, place, clock });
        let client = Self { requests, events, status, configured, has: Arc::default() };
        match (group_key, passphrase_group) {
            _ if client.status().group_id.is_some() => {}
            (Some(secret), _) => client.join_group_of(secret).await?,
            (None, Some(group)) => client.join_passphrase_group(group).await?,
            (None, None) => {}
        }
        Ok(client)
    }

    /// Connects, and stays connected: until [`disconnect`](Self::disconnect), through lost connections
    /// if `auto_reconnect` is set. Returns once the relay has let this device in. A device without a
    /// group has nothing to connect for; it connects by itself once it has one.
    ///
    /// # Errors
    /// When the first attempt fails: [`Error::Unreachable`], and others are made in the background if
    /// `auto_reconnect` is set; [`Error::RelayKeyChanged`] or [`Error::Refused`], and somebody has to
    /// act first.
    pub async fn connect(&self) -> Result<(), Error> {
        self.done(Ask::Connect).await
    }

    /// Closes the connection and stays away. What was pushed and not sent stays in the outbox.
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.done(Ask::Disconnect).await
    }

    /// Whether connected or not, now is a good moment to try: the network or the window came back.
    pub fn woke(&self) {
        let _ = self.requests.send(Request::Woke);
    }

    /// Seals data for the group and puts it in the outbox. Returns once it is durable here; it reaches
    /// the relay when there is a connection. The first push of a device that is in no group makes one.
    /// At most 1 MiB, or what the relay allows. Keeps as long as the relay does by default (7 days).
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::OutboxFull`], [`Error::NoRelay`].
    pub async fn push(&self, data: impl Into<Vec<u8>>) -> Result<PushReceipt, Error> {
        self.push_for(data, None).await
    }

    /// As [`push`](Self::push), for as long as `keep` says: `None` as long as the relay does by
    /// default, zero for ever. Rounded up to seconds.
    pub async fn push_for(
        &self,
        data: impl Into<Vec<u8>>,
        keep: Option<Duration>,
    ) -> Result<PushReceipt, Error> {
        let ttl = keep.map(|keep| {
            let seconds = keep.as_secs() + u64::from(keep.subsec_nanos() > 0);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        let (answer, receipt) = oneshot::channel();
        let ask = Ask::Push { data: Zeroizing::new(data.into()), ttl };
        self.send(Request::Ask(ask, Answer::Receipt(answer)))?;
        receipt.await.unwrap_or(Err(Error::Closed))
    }

    /// Any page of the group's log: blobs after a cursor, own ones included, at most `limit` of them (0:
    /// 100; never more than 1000, and fewer when they are large). Moves nothing; the relay may have
    /// dropped old blobs.
    pub async fn pull(&self, after: Cursor, limit: u32) -> Result<Page, Error> {
        self.page(Ask::Pull { after, limit }).await
    }

    /// The next blobs of *other* devices, at most `limit` of them (0: 100). Says at once that the app
    /// has what this gave before; see [`ack`](Self::ack). Call it again while the page `has_more`. Can
    /// be given up, by a timeout say: a page that did not arrive is given again.
    pub async fn pull_since_last_cursor(&self, limit: u32) -> Result<Page, Error> {
        let has = *self.has();
        let page = self.pull_after_page(has, limit).await?;
        // From here on the page is the app's: nothing is waited for any more.
        *self.has() = Some(page.end());
        Ok(page)
    }

    /// As [`pull_since_last_cursor`](Self::pull_since_last_cursor), for whoever passes pages on and so has to
    /// be told what arrived: `has` is the [end](Page::end) of the last page that did, and `None` says that
    /// none is known to have.
    pub async fn pull_after_page(&self, has: Option<PageEnd>, limit: u32) -> Result<Page, Error> {
        self.page(Ask::Read { limit, has }).await
    }

    /// [`connect`](Self::connect) and [`pull_since_last_cursor`](Self::pull_since_last_cursor).
    pub async fn connect_and_pull(&self) -> Result<Page, Error> {
        self.connect().await?;
        self.pull_since_last_cursor(0).await
    }

    /// Says that the app durably has everything up to this cursor, usually a page's `max_cursor`. Only
    /// this (and the next page) moves [`last_cursor`](Self::last_cursor), and tells the relay what it
    /// need not keep for this device any more.
    pub async fn ack(&self, cursor: Cursor) -> Result<(), Error> {
        let generation = self.has().map(|page| page.generation);
        self.done(Ask::Ack { cursor, generation }).await
    }

    /// As [`ack`](Self::ack), for whoever passes pages on: the app durably has the page that ends here. Also counts when
    /// another process was given the page. Does nothing when the relay has started over since.
    pub async fn ack_page(&self, end: PageEnd) -> Result<(), Error> {
        self.done(Ask::Ack { cursor: end.cursor, generation: Some(end.generation) }).await
    }

    /// Up to here the app has everything.
    pub fn last_cursor(&self) -> Cursor {
        self.status.borrow().last_cursor
    }

    /// How things stand: the group, the relay, the connection, the outbox. Costs nothing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Everything that happens from now on. Subscribe before [`connect`](Self::connect) to miss
    /// nothing. After [`Event::Connected`], which may come again at any time, read: blobs may have
    /// arrived before.
    pub fn subscribe(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// Every other [`status`](Self::status) from now on.
    pub fn statuses(&self) -> Statuses {
        let mut status = self.status.clone();
        status.mark_unchanged();
        Statuses(status)
    }

    /// Waits until the outbox is empty: everything pushed so far is durable at the relay, also what a
    /// relay that was reset has to be given again.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::RestoreWaits`] when that needs [`restore`](Self::restore); or why no
    /// connection will be made.
    pub async fn flush(&self, at_most: Duration) -> Result<(), Error> {
        timeout(at_most, self.done(Ask::Flush)).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Waits until everything pushed is at the relay, but no longer than `at_most`; and disconnects in
    /// any case. For the moment before an app goes to sleep.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). What is left in the outbox is sent another time.
    pub async fn flush_and_disconnect(&self, at_most: Duration) -> Result<(), Error> {
        let flushed = self.flush(at_most).await;
        self.disconnect().await?;
        flushed
    }

    /// The group's devices: those that members have announced, and those that the relay names besides
    /// ([`DeviceInfo::member`] tells them apart). Whether they are there, and since when they are not, is
    /// the relay's word.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, Error> {
        match self.ask(Ask::Devices).await? {
            Reply::Devices(devices) => Ok(devices),
            Reply::Done | Reply::Queued(_) | Reply::Page(_) | Reply::Invite(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }

    /// Accepts another key of the relay from now on. Only for a key that is known to be the relay's,
    /// told by whoever runs it. Needs no connection.
    pub async fn trust_relay(&self, key: RelayKey) -> Result<(), Error> {
        self.done(Ask::TrustRelay(key)).await
    }

    /// Where the key of the local store is kept.
    pub fn key_place(&self) -> KeyPlace {
        self.configured.key_place
    }

    /// Disconnects, closes the store, and lets go of the folder; all clones are closed with it.
    pub async fn close(self) {
        self.shut().await;
    }

    /// As [`close`](Self::close), for whoever still has some use for the handle.
    pub(crate) async fn shut(&self) {
        let (done, closed) = oneshot::channel();
        if self.send(Request::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    fn has(&self) -> MutexGuard<'_, Option<PageEnd>> {
        self.has.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time it is here.
    pub(crate) fn clock(&self) -> Clock {
        self.configured.clock
    }

    /// Where this device's files are.
    pub(crate) fn place(&self) -> &Place {
        &self.configured.place
    }

    /// The relay that the configuration names.
    pub(crate) fn configured_relay(&self) -> Option<&RelayAddress> {
        self.configured.relay.as_ref()
    }

    /// For whoever must not keep this client alive, and wants to know when it ends.
    pub(crate) fn observe(&self) -> (mpsc::WeakUnboundedSender<Request>, watch::Receiver<Status>) {
        (self.requests.downgrade(), self.status.clone())
    }

    pub(crate) fn send(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| Error::Closed)
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<Reply, Error> {
        let (answer, reply) = oneshot::channel();
        self.send(Request::Ask(ask, Answer::Reply(answer)))?;
        reply.await.unwrap_or(Err(Error::Closed))
    }

    pub(crate) async fn done(&self, ask: Ask) -> Result<(), Error> {
        self.ask(ask).await.map(|_| ())
    }

    async fn page(&self, ask: Ask) -> Result<Page, Error> {
        match self.ask(ask).await? {
            Reply::Page(page) => Ok(page),
            Reply::Done | Reply::Queued(_) | Reply::Devices(_) | Reply::Invite(_) | Reply::Membership(_) => {
                Err(Error::Closed)
            }
        }
    }
}

/// Off the runtime's threads: a keychain may wait for a person.
async fn load_key(
    config: &SyncConfig,
    create: bool,
) -> Result<(sync_e2ee::at_rest::StoreKey, KeyPlace), Error> {
    let (folder, keychain) = (config.folder.clone(), config.keychain);
    let load = tokio::task::spawn_blocking(move || key::load(&folder, keychain, create));
    match timeout(KEYCHAIN_PATIENCE, load).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(_)) => Err(Error::Machine("the task that reads the store's key failed")),
        Err(_) => Err(store::StoreError::Keychain.into()),
    }
}

fn new_device(config: &mut SyncConfig) -> Result<NewDevice, Error> {
    let secret = match config.device_keypair.take() {
        Some(pair) => pair,
        None => DeviceSecret::generate(&mut rng()?),
    };
    Ok(NewDevice {
        secret,
        name: config.name()?,
        platform: config.platform.clone(),
        relay: config.relay_url.clone(),
        access_token: config.access_token.clone(),
    })
}
