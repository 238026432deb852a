//! The app's device: made when it is needed, shared by all windows and by Rust code.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

use sync_client::SyncClient;
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
    opened: Mutex<Option<SyncClient>>,
    /// Whether somebody wants a connection.
    wanted: AtomicBool,
    last: StdMutex<Option<StatusValue>>,
    warnings: Warnings,
    invites: Invites,
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

    /// The client, with everything that it can do. Opens the app's device when that has not been done, and makes one
    /// when there is none. Do not keep it: after the device has left its group, there is another one.
    ///
    /// To connect and disconnect, use [`connect`](Self::connect) and [`disconnect`](Self::disconnect): the webview
    /// then knows what is wanted. To leave the group, [`leave`](Self::leave).
    ///
    /// # Errors
    /// As [`SyncClient::new`].
    pub async fn client(&self) -> Result<SyncClient, Error> {
        self.open(NewDevice::default()).await
    }

    /// As [`SyncClient::connect`].
    ///
    /// # Errors
    /// As [`SyncClient::connect`].
    pub async fn connect(&self) -> Result<(), Error> {
        let client = self.client().await?;
        self.want(&client, true);
        Ok(client.connect().await?)
    }

    /// As [`SyncClient::disconnect`].
    ///
    /// # Errors
    /// As [`SyncClient::disconnect`].
    pub async fn disconnect(&self) -> Result<(), Error> {
        let client = self.client().await?;
        self.want(&client, false);
        Ok(client.disconnect().await?)
    }

    /// As [`SyncClient::leave`], after which there is no device any more.
    ///
    /// # Errors
    /// As [`SyncClient::leave`].
    pub async fn leave(&self) -> Result<(), Error> {
        let client = self.client().await?;
        client.leave().await?;
        let mut opened = self.opened.lock().await;
        // Meanwhile it may have been wiped, and another one made.
        opened.take_if(|now| now.status().device_id == client.status().device_id);
        Ok(())
    }

    /// Erases the app's device, and tells nobody: see [`SyncClient::wipe`]. Nothing happens when there is none.
    ///
    /// # Errors
    /// As [`SyncClient::wipe`].
    pub async fn wipe(&self) -> Result<(), Error> {
        let mut opened = self.opened.lock().await;
        let wiped = match opened.take() {
            Some(client) => client.wipe().await,
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
        let mut opened = self.opened.lock().await;
        if opened.is_some() {
            return Ok(true);
        }
        match SyncClient::open(self.settings.config(NewDevice::default())?).await {
            Ok(client) => {
                *opened = Some(self.begin(client));
                Ok(true)
            }
            Err(sync_client::Error::NoDevice(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The client; `new` counts when there is no device.
    pub(crate) async fn open(&self, new: NewDevice) -> Result<SyncClient, Error> {
        let mut opened = self.opened.lock().await;
        if let Some(client) = &*opened {
            return Ok(client.clone());
        }
        let client = self.begin(SyncClient::new(self.settings.config(new)?).await?);
        *opened = Some(client.clone());
        Ok(client)
    }

    /// The client if it is open and nobody is opening it just now.
    pub(crate) fn open_now(&self) -> Option<SyncClient> {
        self.opened.try_lock().ok()?.clone()
    }

    /// Ends the use of the device: for an app that exits.
    pub(crate) async fn close(&self) {
        let client = self.opened.lock().await.take();
        if let Some(client) = client {
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

    fn emit(&self, event: EventValue) {
        if let Err(error) = self.app.emit(EVENT, event) {
            tracing::warn!(%error, "an event cannot be told to the webviews");
        }
    }

    /// A client from its first moment on: its events reach the webviews, and it connects if it is to.
    fn begin(&self, client: SyncClient) -> SyncClient {
        let (mut events, mut statuses) = (client.subscribe(), client.statuses());
        let (app, told) = (self.app.clone(), client.clone());
        tauri::async_runtime::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    status = statuses.next() => match status {
                        Some(_) => app.sync().tell_status(&told),
                        None => return,
                    },
                    event = events.next() => match event {
                        Some(event) => app.sync().tell(&told, events::told(&event)),
                        None => return,
                    },
                }
            }
        });
        self.wanted.store(self.settings.auto_connect, Ordering::Relaxed);
        if self.settings.auto_connect {
            let client = client.clone();
            tauri::async_runtime::spawn(async move {
                if let Err(error) = client.connect().await {
                    tracing::debug!(%error, "the first attempt to connect failed");
                }
            });
        }
        client
    }

    fn tell(&self, client: &SyncClient, told: Told) {
        if let Some(told) = self.warnings.pass(told) {
            self.emit(EventValue { told, status: self.status(client) });
        }
    }
}
