//! The app's device: made when it is needed, shared by all windows and by Rust code.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

use sync_client::{Events, Statuses, SyncClient};
use tauri::async_runtime::JoinHandle;
use tauri::{AppHandle, Emitter, Runtime};
use tokio::sync::Mutex;

use crate::builder::{NewDevice, Settings};
use crate::events::{self, Told};
use crate::invites::Invites;
use crate::values::{EventValue, StatusValue};
use crate::warnings::Warnings;
use crate::{Error, SyncExt};

/// The Tauri event that carries everything that happens.
const EVENT: &str = "sync://event";

/// The app's device, from [`SyncExt::sync`].
pub struct AppSync<R: Runtime> {
    app: AppHandle<R>,
    settings: Settings,
    /// The client in use. Locked while one is opened, so that there is one.
    opened: Mutex<Option<Opened>>,
    /// Whether somebody wants a connection.
    wanted: AtomicBool,
    last: StdMutex<Option<StatusValue>>,
    warnings: Warnings,
    invites: Invites,
}

/// A client, and what tells its events to the webviews until it is closed.
struct Opened {
    client: SyncClient,
    teller: JoinHandle<()>,
}

impl<R: Runtime> fmt::Debug for AppSync<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSync").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<R: Runtime> AppSync<R> {
    pub(crate) fn new(app: AppHandle<R>, settings: Settings) -> Self {
        Self {
            app,
            settings,
            opened: Mutex::default(),
            wanted: AtomicBool::default(),
            last: StdMutex::default(),
            warnings: Warnings::default(),
            invites: Invites::default(),
        }
    }

    /// The client of the app's device, with everything that it can do. Makes the device when there is none; nothing
    /// else does, but the webview's `open`. Do not keep it: after the device has left its group, it is closed.
    ///
    /// To connect and disconnect, use [`connect`](Self::connect) and [`disconnect`](Self::disconnect): the webview
    /// then knows what is wanted. To leave the group, [`leave`](Self::leave).
    ///
    /// # Errors
    /// As [`SyncClient::new`].
    pub async fn open(&self) -> Result<SyncClient, Error> {
        self.open_or_make(NewDevice::default()).await
    }

    /// As [`open`](Self::open), for a device that is there already.
    ///
    /// # Errors
    /// As [`SyncClient::open`]: [`NoDevice`](sync_client::Error::NoDevice) when there is none, or none any more.
    pub async fn client(&self) -> Result<SyncClient, Error> {
        let mut opened = self.opened.lock().await;
        if let Some(Opened { client, .. }) = &*opened {
            return Ok(client.clone());
        }
        let client = SyncClient::open(self.settings.config(NewDevice::default())?).await?;
        *opened = Some(self.begin(client.clone()));
        Ok(client)
    }

    /// As [`SyncClient::connect`].
    ///
    /// # Errors
    /// As [`client`](Self::client) and [`SyncClient::connect`].
    pub async fn connect(&self) -> Result<(), Error> {
        let client = self.client().await?;
        self.want(&client, true);
        Ok(client.connect().await?)
    }

    /// As [`SyncClient::disconnect`].
    ///
    /// # Errors
    /// As [`client`](Self::client) and [`SyncClient::disconnect`].
    pub async fn disconnect(&self) -> Result<(), Error> {
        let client = self.client().await?;
        self.want(&client, false);
        Ok(client.disconnect().await?)
    }

    /// As [`SyncClient::leave`], after which there is no device any more; all windows are told.
    ///
    /// # Errors
    /// As [`client`](Self::client) and [`SyncClient::leave`].
    pub async fn leave(&self) -> Result<(), Error> {
        let client = self.client().await?;
        client.leave().await?;
        let mut opened = self.opened.lock().await;
        // Meanwhile it may have been wiped, and another one made.
        if let Some(left) = opened.take_if(|now| now.client.status().device_id == client.status().device_id) {
            self.is_gone(left).await;
        }
        Ok(())
    }

    /// Erases the app's device, and tells nobody but the app's windows: see [`SyncClient::wipe`]. Nothing happens when
    /// there is none.
    ///
    /// # Errors
    /// As [`SyncClient::wipe`].
    pub async fn wipe(&self) -> Result<(), Error> {
        let mut opened = self.opened.lock().await;
        let wiped = match opened.take() {
            Some(erased) => {
                let wiped = erased.client.wipe().await;
                self.is_gone(erased).await;
                wiped
            }
            None => SyncClient::wipe_folder(&self.settings.config(NewDevice::default())?).await,
        };
        match wiped {
            Ok(()) | Err(sync_client::Error::NoDevice(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a device. Makes none.
    ///
    /// # Errors
    /// When there is one and it cannot be opened.
    pub async fn exists(&self) -> Result<bool, Error> {
        match self.client().await {
            Ok(_) => Ok(true),
            Err(Error::Client(sync_client::Error::NoDevice(_))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The client; `new` counts when there is no device.
    pub(crate) async fn open_or_make(&self, new: NewDevice) -> Result<SyncClient, Error> {
        let mut opened = self.opened.lock().await;
        if let Some(Opened { client, .. }) = &*opened {
            return Ok(client.clone());
        }
        let client = SyncClient::new(self.settings.config(new)?).await?;
        *opened = Some(self.begin(client.clone()));
        Ok(client)
    }

    /// The client if it is open and nobody is opening it just now.
    pub(crate) fn open_now(&self) -> Option<SyncClient> {
        self.opened.try_lock().ok()?.as_ref().map(|opened| opened.client.clone())
    }

    /// Ends the use of the device: for an app that exits.
    pub(crate) async fn close(&self) {
        let opened = self.opened.lock().await.take();
        if let Some(Opened { client, .. }) = opened {
            client.close().await;
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn invites(&self) -> &Invites {
        &self.invites
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// How things stand. Each other status has a greater revision than the one before, wherever it is told.
    pub(crate) fn status(&self, client: &SyncClient) -> StatusValue {
        let mut last = self.last();
        let before = last.as_ref().map_or(0, |status| status.revision);
        let mut now = StatusValue::of(&client.status(), self.wanted.load(Ordering::Relaxed), before);
        if last.as_ref() != Some(&now) {
            now.revision += 1;
            *last = Some(now.clone());
        }
        now
    }

    fn last(&self) -> MutexGuard<'_, Option<StatusValue>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, client: &SyncClient, connection: bool) {
        self.wanted.store(connection, Ordering::Relaxed);
        self.tell_status(client);
    }

    fn tell_status(&self, client: &SyncClient) {
        self.emit(EventValue { told: Told::status_changed(), status: self.status(client) });
    }

    /// The pages that have opened this device have it no more. Called before there can be another one.
    async fn is_gone(&self, Opened { client, teller }: Opened) {
        // What it has still said comes before.
        if let Err(error) = teller.await {
            tracing::warn!(%error, "not all events were told to the webviews");
        }
        self.warnings.forget();
        let status = self.status(&client);
        self.emit(EventValue { told: Told::ended(client.status().device_id), status });
    }

    fn emit(&self, event: EventValue) {
        if let Err(error) = self.app.emit(EVENT, event) {
            tracing::warn!(%error, "an event cannot be told to the webviews");
        }
    }

    /// A client from its first moment on: its events reach the webviews, and it connects if it is to.
    fn begin(&self, client: SyncClient) -> Opened {
        let (events, statuses) = (client.subscribe(), client.statuses());
        let telling = tell_all(self.app.clone(), client.clone(), events, statuses);
        let teller = tauri::async_runtime::spawn(telling);
        self.wanted.store(self.settings.auto_connect, Ordering::Relaxed);
        if self.settings.auto_connect {
            let client = client.clone();
            tauri::async_runtime::spawn(async move {
                if let Err(error) = client.connect().await {
                    tracing::debug!(%error, "the first attempt to connect failed");
                }
            });
        }
        Opened { client, teller }
    }

    fn tell(&self, client: &SyncClient, told: Told) {
        if let Some(told) = self.warnings.pass(told) {
            self.emit(EventValue { told, status: self.status(client) });
        }
    }
}

/// Tells everything that happens to a client, until it is closed.
async fn tell_all<R: Runtime>(
    app: AppHandle<R>,
    client: SyncClient,
    mut events: Events,
    mut statuses: Statuses,
) {
    let sync = app.sync();
    loop {
        tokio::select! {
            // Events first: those that are there when the client is closed are told, too.
            biased;
            event = events.next() => match event {
                Some(event) => sync.tell(&client, events::told(&event)),
                None => return,
            },
            status = statuses.next() => match status {
                Some(_) => sync.tell_status(&client),
                None => return,
            },
        }
    }
}
