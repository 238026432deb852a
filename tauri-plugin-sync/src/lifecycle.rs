//! What happens when the app starts, comes to the front, goes to the back and ends.

use std::sync::mpsc;
use std::time::Duration;

use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, RunEvent, Runtime, Webview, WindowEvent};

use crate::{AppSync, SyncExt};

/// How long an exit may wait for the relay to take what waits, and for the store to be closed.
const FLUSH: Duration = Duration::from_millis(1500);
/// How long an exit may take on the whole, whatever happens.
const EXIT: Duration = Duration::from_secs(2);
const _: () = assert!(FLUSH.as_millis() < EXIT.as_millis() && EXIT.as_millis() <= 2000);
/// How long a phone usually lets an app go on that went to the back.
#[cfg(mobile)]
const SUSPEND: Duration = Duration::from_secs(4);

/// What happens to pushes that wait when the app exits. Nothing is lost either way: they are on the disk, and leave
/// after the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExit {
    /// If the relay is connected, they are sent, for which the exit waits two seconds at most. So other devices have
    /// them before this one is switched off.
    #[default]
    Flush,
    /// The app exits at once.
    Leave,
}

/// The app starts.
pub(crate) fn start<R: Runtime>(app: &AppHandle<R>) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let sync = app.sync();
        // Where there is none, `open` makes it.
        if let Err(error) = sync.exists().await {
            tracing::warn!(%error, folder = %sync.settings().folder().display(), "the device cannot be opened");
        }
    });
}

/// What an event means here.
#[derive(Debug, PartialEq, Eq)]
enum Moment<'a> {
    /// A good one to try again.
    Wake,
    /// The app may be killed from now on.
    #[cfg(mobile)]
    Suspend,
    WindowIsGone(&'a str),
    Exit,
}

impl<'a> Moment<'a> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are many, and others with each version of Tauri"
    )]
    fn of(event: &'a RunEvent) -> Option<Self> {
        match event {
            RunEvent::WindowEvent { label, event, .. } => Self::of_window(label, event),
            RunEvent::Resumed => Some(Self::Wake),
            RunEvent::Exit => Some(Self::Exit),
            _ => None,
        }
    }

    fn of_window(window: &'a str, event: &WindowEvent) -> Option<Self> {
        match event {
            WindowEvent::Focused(true) => Some(Self::Wake),
            WindowEvent::Destroyed => Some(Self::WindowIsGone(window)),
            #[cfg(mobile)]
            WindowEvent::Resumed => Some(Self::Wake),
            #[cfg(mobile)]
            WindowEvent::Suspended => Some(Self::Suspend),
            _ => None,
        }
    }
}

pub(crate) fn on_event<R: Runtime>(app: &AppHandle<R>, event: &RunEvent) {
    match Moment::of(event) {
        Some(Moment::Wake) => wake(app),
        #[cfg(mobile)]
        Some(Moment::Suspend) => suspend(app),
        Some(Moment::WindowIsGone(window)) => app.sync().warnings().window_is_gone(window),
        Some(Moment::Exit) => exit(app),
        None => {}
    }
}

/// What was in this webview is gone when something else is loaded into it: the same page, perhaps.
pub(crate) fn on_page_load<R: Runtime>(webview: &Webview<R>, event: PageLoadEvent) {
    if event == PageLoadEvent::Started {
        webview.sync().warnings().page_is_gone(webview.label());
    }
}

fn wake<R: Runtime>(app: &AppHandle<R>) {
    if let Some(client) = app.sync().open_now() {
        client.woke();
    }
}

/// What waits should be sent. Nothing waits for this.
#[cfg(mobile)]
fn suspend<R: Runtime>(app: &AppHandle<R>) {
    let sync = app.sync();
    if let (OnExit::Flush, Some(client)) = (sync.settings().on_exit, sync.open_now()) {
        tauri::async_runtime::spawn(async move { client.flush(SUSPEND).await });
    }
}

/// Waits on the thread that ends the app, for no longer than [`EXIT`]: nothing of this can hang it.
fn exit<R: Runtime>(app: &AppHandle<R>) {
    if app.sync().settings().on_exit == OnExit::Leave {
        return;
    }
    let app = app.clone();
    if !ends_within(EXIT, async move { flush_and_close(app.sync(), FLUSH).await }) {
        tracing::info!("what waits is sent after the next start");
    }
}

/// Gives whether this has ended; waits for it no longer than `at_most`.
fn ends_within(at_most: Duration, what: impl Future<Output = ()> + Send + 'static) -> bool {
    let (done, ended) = mpsc::channel();
    tauri::async_runtime::spawn(async move {
        what.await;
        let _ = done.send(());
    });
    ended.recv_timeout(at_most).is_ok()
}

async fn flush_and_close<R: Runtime>(sync: &AppSync<R>, at_most: Duration) {
    let Some(client) = sync.open_now() else { return };
    let status = client.status();
    if status.connected && status.pending_push > 0 {
        // What is left stays in the outbox.
        if let Err(error) = client.flush(at_most).await {
            tracing::debug!(%error, "not everything was sent before the exit");
        }
    }
    sync.close().await;
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::thread;

    use sync_client::Event;
    use tauri::test::{MockRuntime, mock_builder, mock_context, noop_assets};
    use tauri::{App, WebviewWindowBuilder};
    use tempfile::TempDir;

    use super::*;
    use crate::events::told;

    /// Far more than anything takes: only a test that would hang runs into it.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn what_never_ends_keeps_no_app_from_ending() {
        let (returned, returns) = mpsc::channel();
        thread::spawn(move || returned.send(ends_within(Duration::from_millis(1), pending())));
        assert_eq!(returns.recv_timeout(PATIENCE), Ok(false));
        assert!(ends_within(PATIENCE, ready(())));
    }

    fn app(folder: &TempDir) -> App<MockRuntime> {
        let plugin = crate::Builder::new().folder(folder.path()).build();
        mock_builder().plugin(plugin).build(mock_context(noop_assets())).unwrap()
    }

    #[test]
    fn a_page_that_is_loaded_anew_hears_nothing() {
        let folder = TempDir::new().unwrap();
        let app = app(&folder);
        let warnings = app.sync().warnings();
        let is_heard = || warnings.pass(told(&Event::RelayReset)).is_some();
        let main = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
        warnings.listen("main", "main");
        on_page_load(main.as_ref(), PageLoadEvent::Finished);
        assert!(is_heard());
        on_page_load(main.as_ref(), PageLoadEvent::Started);
        assert!(!is_heard());
    }

    #[test]
    fn an_app_tries_again_in_front_and_counts_its_windows() {
        assert_eq!(Moment::of(&RunEvent::Resumed), Some(Moment::Wake));
        assert_eq!(Moment::of(&RunEvent::Exit), Some(Moment::Exit));
        assert_eq!(Moment::of(&RunEvent::Ready), None);
        let of_window = |event| Moment::of_window("main", &event);
        assert_eq!(of_window(WindowEvent::Focused(true)), Some(Moment::Wake));
        assert_eq!(of_window(WindowEvent::Focused(false)), None);
        assert_eq!(of_window(WindowEvent::Destroyed), Some(Moment::WindowIsGone("main")));
    }
}
