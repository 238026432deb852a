//! The commands: `plugin:sync|connect` and so on. `guest-js` calls them.

use std::time::Duration;

use serde::Deserialize;
use sync_client::{Cursor, DeviceId, PageEnd, RelayKey};
use tauri::ipc::{Request, Response};
use tauri::{AppHandle, Runtime, Webview, command};

use crate::body::{self, Push};
use crate::builder::NewDevice;
use crate::values::{DeviceValue, InviteValue, OpenedValue, StatusValue, blob_id};
use crate::{Error, SyncExt};

const FLUSH_MS: u64 = 30_000;

/// A cursor as JavaScript has it: a number, and perhaps not a whole one.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Number(f64);

impl Number {
    fn cursor(self) -> Result<Cursor, Error> {
        const NO_CURSOR: Error = Error::Argument("a cursor is a whole number from 0 to 2^53 - 1");
        if self.0.fract() != 0.0 || !(0.0..=9_007_199_254_740_991.0).contains(&self.0) {
            return Err(NO_CURSOR);
        }
        Cursor::new(self.0 as u64).ok_or(NO_CURSOR)
    }
}

/// The end of the last page that reached the webview.
#[derive(Debug, Deserialize)]
pub(crate) struct End {
    generation: u32,
    cursor: Number,
}

impl End {
    fn read(self) -> Result<PageEnd, Error> {
        Ok(PageEnd { generation: self.generation, cursor: self.cursor.cursor()? })
    }
}

/// Opens the app's device, and makes it when there is none.
#[command]
pub(crate) async fn open<R: Runtime>(
    app: AppHandle<R>,
    webview: Webview<R>,
    options: Option<NewDevice>,
) -> Result<OpenedValue, Error> {
    let sync = app.sync();
    let client = sync.open_or_make(options.unwrap_or_default()).await?;
    let missed = sync.warnings().listen(webview.label(), webview.window_ref().label());
    Ok(OpenedValue { status: sync.status(&client), missed })
}

#[command]
pub(crate) async fn exists<R: Runtime>(app: AppHandle<R>) -> Result<bool, Error> {
    app.sync().exists().await
}

#[command]
pub(crate) async fn connect<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    app.sync().connect().await
}

#[command]
pub(crate) async fn disconnect<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    app.sync().disconnect().await
}

/// The network came back, as the webview says.
#[command]
pub(crate) fn woke<R: Runtime>(app: AppHandle<R>) {
    if let Some(client) = app.sync().open_now() {
        client.woke();
    }
}

/// Gives the blob's id once it is durable here.
#[command]
pub(crate) async fn push<R: Runtime>(app: AppHandle<R>, request: Request<'_>) -> Result<String, Error> {
    let Push { data, ttl } = Push::read(request.body(), request.headers())?;
    let keep = ttl.map(|seconds| Duration::from_secs(seconds.into()));
    let receipt = app.sync().client().await?.push_for(data, keep).await?;
    Ok(blob_id(receipt.blob_id()))
}

/// With `after`: any page of the log. Without: the next blobs of other devices, after the page that the webview `has`.
#[command]
pub(crate) async fn pull<R: Runtime>(
    app: AppHandle<R>,
    after: Option<Number>,
    has: Option<End>,
    limit: Option<u32>,
) -> Result<Response, Error> {
    let limit = limit.unwrap_or(0);
    let page = if let Some(after) = after {
        let after = after.cursor()?;
        app.sync().client().await?.pull(after, limit).await?
    } else {
        let has = has.map(End::read).transpose()?;
        app.sync().client().await?.pull_after_page(has, limit).await?
    };
    Ok(Response::new(body::page(&page)?))
}

/// With the `generation` of the page that ends there. Without: counts only for pages that this app was given since its
/// start.
#[command]
pub(crate) async fn ack<R: Runtime>(
    app: AppHandle<R>,
    cursor: Number,
    generation: Option<u32>,
) -> Result<(), Error> {
    let cursor = cursor.cursor()?;
    let client = app.sync().client().await?;
    match generation {
        Some(generation) => client.ack_page(PageEnd { generation, cursor }).await?,
        None => client.ack(cursor).await?,
    }
    Ok(())
}

#[command]
pub(crate) async fn flush<R: Runtime>(app: AppHandle<R>, timeout_ms: Option<u64>) -> Result<(), Error> {
    let at_most = Duration::from_millis(timeout_ms.unwrap_or(FLUSH_MS));
    Ok(app.sync().client().await?.flush(at_most).await?)
}

#[command]
pub(crate) async fn status<R: Runtime>(app: AppHandle<R>) -> Result<StatusValue, Error> {
    let sync = app.sync();
    Ok(sync.status(&sync.client().await?))
}

#[command]
pub(crate) async fn last_cursor<R: Runtime>(app: AppHandle<R>) -> Result<u64, Error> {
    Ok(app.sync().client().await?.last_cursor().get())
}

#[command]
pub(crate) async fn devices<R: Runtime>(app: AppHandle<R>) -> Result<Vec<DeviceValue>, Error> {
    let devices = app.sync().client().await?.devices().await?;
    Ok(devices.into_iter().map(DeviceValue::from).collect())
}

#[command]
pub(crate) async fn create_invite<R: Runtime>(app: AppHandle<R>) -> Result<InviteValue, Error> {
    let invite = app.sync().client().await?.create_invite().await?;
    let (code, link, app_url) = (invite.code(), invite.link(), invite.app_url(""));
    let expires_at = invite.expires_at().0;
    Ok(InviteValue { id: app.sync().invites().keep(invite), code, link, app_url, expires_at })
}

/// Takes back the invite of this number; without one, the last of this device.
#[command]
pub(crate) async fn revoke_invite<R: Runtime>(app: AppHandle<R>, id: Option<u32>) -> Result<(), Error> {
    let client = app.sync().client().await?;
    let Some(id) = id else { return Ok(client.revoke_last_invite().await?) };
    let invite = app.sync().invites().get(id).ok_or(sync_client::Error::NothingToRevoke)?;
    Ok(client.revoke_invite(&invite).await?)
}

/// Becomes a member by a code, a link or an app's URL.
#[command]
pub(crate) async fn join<R: Runtime>(app: AppHandle<R>, invite: String) -> Result<(), Error> {
    Ok(app.sync().client().await?.join(&invite).await?)
}

#[command]
pub(crate) async fn restore<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    Ok(app.sync().client().await?.restore().await?)
}

#[command]
pub(crate) async fn remove_device<R: Runtime>(
    app: AppHandle<R>,
    device_id: String,
    keep_history: Option<bool>,
) -> Result<(), Error> {
    let device = DeviceId::from_text(&device_id).ok_or(Error::Argument("this is no device's id"))?;
    let client = app.sync().client().await?;
    Ok(client.remove_devices(&[device], keep_history.unwrap_or(true)).await?)
}

#[command]
pub(crate) async fn rotate<R: Runtime>(app: AppHandle<R>, keep_history: Option<bool>) -> Result<(), Error> {
    Ok(app.sync().client().await?.rotate(keep_history.unwrap_or(true)).await?)
}

/// Accepts another key of the relay from now on.
#[command]
pub(crate) async fn trust_relay<R: Runtime>(app: AppHandle<R>, key: String) -> Result<(), Error> {
    let key = RelayKey::from_text(&key).ok_or(Error::Argument("this is no key of a relay"))?;
    Ok(app.sync().client().await?.trust_relay(key).await?)
}

#[command]
pub(crate) async fn leave<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    app.sync().leave().await
}

/// Erases the group at the relay, for all its devices.
#[command]
pub(crate) async fn delete_group<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    Ok(app.sync().client().await?.delete_group().await?)
}

/// Erases the device here, and tells nobody.
#[command]
pub(crate) async fn wipe<R: Runtime>(app: AppHandle<R>) -> Result<(), Error> {
    app.sync().wipe().await
}
