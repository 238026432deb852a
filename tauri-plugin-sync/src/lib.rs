//! Keeps a Tauri app's data in step on several devices of one person, through a relay that can read nothing.
//!
//! ```no_run
//! # fn add<R: tauri::Runtime>(builder: tauri::Builder<R>) -> tauri::Builder<R> {
//! builder.plugin(tauri_plugin_sync::Builder::new().relay("https://relay.example").build())
//! # }
//! ```
//!
//! The webview imports `tauri-plugin-sync-api` and has there what `sync-client-wasm` has, in the same words. Rust code
//! has the same device by [`SyncExt`]:
//!
//! ```no_run
//! use tauri_plugin_sync::SyncExt;
//!
//! # async fn run<R: tauri::Runtime>(app: tauri::AppHandle<R>) -> Result<(), tauri_plugin_sync::Error> {
//! let client = app.sync().open().await?;
//! client.push("a change").await?;
//! # Ok(()) }
//! ```
//!
//! What this crate is *not*: a client. That is [`sync_client`], which does everything; here are the commands for the
//! webview, the app's folder, and what happens when the app starts, comes to the front and ends.
//!
//! # When it syncs
//! It connects when the app starts, if there is a device already, and stays connected; it tries at once when a
//! window gets the focus, and when the webview says that the network is back. When the app exits, what waits is
//! sent, for at most two seconds: see [`OnExit`]. What was pushed is on the disk by then in any case.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app_sync;
mod body;
mod builder;
mod commands;
mod error;
mod events;
mod invites;
mod lifecycle;
mod values;
mod warnings;

pub use app_sync::AppSync;
pub use builder::Builder;
pub use error::Error;
pub use lifecycle::OnExit;
pub use sync_client;

use tauri::plugin::TauriPlugin;
use tauri::{Manager, Runtime};

/// The plugin with its defaults: no relay is known before somebody joins by a link, or the webview names one.
pub fn init<R: Runtime>() -> TauriPlugin<R> {
    Builder::new().build()
}

/// Gives Rust code the app's device.
pub trait SyncExt<R: Runtime> {
    /// The app's device.
    ///
    /// # Panics
    /// When the plugin was not added to the app.
    fn sync(&self) -> &AppSync<R>;
}

impl<R: Runtime, M: Manager<R>> SyncExt<R> for M {
    fn sync(&self) -> &AppSync<R> {
        self.state::<AppSync<R>>().inner()
    }
}
