//! What the author of an app says.

use std::path::{Path, PathBuf};

use sync_client::{AccessToken, Keychain, RelayAddress, SyncConfig};
use tauri::plugin::TauriPlugin;
use tauri::{Manager, Runtime};

use crate::lifecycle::{self, OnExit};
use crate::{AppSync, Error, commands};

/// Makes the plugin. Everything has a default.
#[derive(Debug, Default)]
pub struct Builder {
    relay: Option<String>,
    folder: Option<PathBuf>,
    device_name: Option<String>,
    manual: bool,
    on_exit: OnExit,
    keychain: Keychain,
}

impl Builder {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the relay is: `https://relay.example`, or with its key, `https://relay.example#relay=KEY`. For new
    /// devices; one that joins by a link takes the link's.
    #[must_use]
    pub fn relay(self, address: impl Into<String>) -> Self {
        Self { relay: Some(address.into()), ..self }
    }

    /// Where the device's keys and its outbox are kept. A relative path is one in the app's local data folder.
    /// Default: `sync` there.
    #[must_use]
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// What people will call a new device, unless the webview says it. Default: the host's name.
    #[must_use]
    pub fn device_name(self, name: impl Into<String>) -> Self {
        Self { device_name: Some(name.into()), ..self }
    }

    /// Whether to connect when the app starts, and stay connected. Default: `true`. Otherwise somebody has to call
    /// `connect`.
    #[must_use]
    pub fn auto_connect(self, yes: bool) -> Self {
        Self { manual: !yes, ..self }
    }

    /// What happens to pushes that wait when the app exits. Default: [`OnExit::Flush`].
    #[must_use]
    pub fn on_exit(self, policy: OnExit) -> Self {
        Self { on_exit: policy, ..self }
    }

    /// Whether the platform's keychain keeps the key of a new device's store. Default: where there is one.
    #[must_use]
    pub fn keychain(self, keychain: Keychain) -> Self {
        Self { keychain, ..self }
    }

    /// The plugin. Starting the app fails when the relay's address cannot be used, or no folder is known.
    pub fn build<R: Runtime>(self) -> TauriPlugin<R> {
        tauri::plugin::Builder::new("sync")
            .invoke_handler(tauri::generate_handler![
                commands::open,
                commands::exists,
                commands::connect,
                commands::disconnect,
                commands::woke,
                commands::push,
                commands::pull,
                commands::ack,
                commands::flush,
                commands::status,
                commands::last_cursor,
                commands::devices,
                commands::create_invite,
                commands::revoke_invite,
                commands::join,
                commands::restore,
                commands::remove_device,
                commands::rotate,
                commands::trust_relay,
                commands::leave,
                commands::delete_group,
                commands::wipe,
            ])
            .setup(move |app, _| {
                let settings = self.settings(|| app.path().app_local_data_dir())?;
                app.manage(AppSync::new(app.clone(), settings));
                lifecycle::start(app);
                Ok(())
            })
            .on_page_load(|webview, load| lifecycle::on_page_load(webview, load.event()))
            .on_event(lifecycle::on_event)
            .build()
    }

    fn settings(self, local: impl FnOnce() -> tauri::Result<PathBuf>) -> Result<Settings, Error> {
        let relay = self.relay.as_deref().map(parse_relay).transpose()?;
        let folder = self.folder.unwrap_or_else(|| PathBuf::from("sync"));
        // An absolute path stays as it is.
        let folder = if folder.is_absolute() { folder } else { local()?.join(folder) };
        Ok(Settings {
            relay,
            folder,
            device_name: self.device_name,
            auto_connect: !self.manual,
            on_exit: self.on_exit,
            keychain: self.keychain,
        })
    }
}

/// What a webview says about a device that is new.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewDevice {
    name: Option<String>,
    relay: Option<String>,
    access_token: Option<String>,
}

/// What was said, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    relay: Option<RelayAddress>,
    folder: PathBuf,
    device_name: Option<String>,
    pub(crate) auto_connect: bool,
    pub(crate) on_exit: OnExit,
    keychain: Keychain,
}

impl Settings {
    /// How the client is made. What the webview says counts more than what was built in.
    pub(crate) fn config(&self, new: NewDevice) -> Result<SyncConfig, Error> {
        let relay = new.relay.as_deref().map(parse_relay).transpose()?;
        Ok(SyncConfig {
            relay_url: relay.or_else(|| self.relay.clone()),
            folder: self.folder.clone(),
            device_name: new.name.or_else(|| self.device_name.clone()),
            access_token: new.access_token.map(AccessToken::from),
            keychain: self.keychain,
            ..SyncConfig::default()
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn parse_relay(text: &str) -> Result<RelayAddress, Error> {
    Ok(text.parse().map_err(sync_client::Error::from)?)
}
