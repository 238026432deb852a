//! A notebook that is the same on all one's devices.
//!
//! `tauri-notes` uses the plugin. `tauri-notes --without-plugin` shows the same page with the browser's client in the
//! webview, which is another device, with data of its own. `NOTES_RELAY` names the relay.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use tauri::{App, Builder, Context, Manager, Runtime, WebviewUrl, WebviewWindowBuilder};

/// Where `sync-relay` listens when nobody says otherwise.
const RELAY: &str = "http://127.0.0.1:8080";

fn main() -> tauri::Result<()> {
    if std::env::args().any(|arg| arg == "--without-plugin") {
        Builder::default().setup(|app| Ok(window_without_plugin(app)?)).run(context())
    } else {
        let relay = std::env::var("NOTES_RELAY").unwrap_or_else(|_| RELAY.to_owned());
        let sync = tauri_plugin_sync::Builder::new().relay(relay);
        with_plugin(Builder::default(), sync).run(context())
    }
}

fn with_plugin<R: Runtime>(builder: Builder<R>, sync: tauri_plugin_sync::Builder) -> Builder<R> {
    builder.plugin(sync.build()).setup(|app| {
        window(app, "main", WebviewUrl::default()).build()?;
        Ok(())
    })
}

/// The browser's client keeps its data in the webview, so this window has a data folder of its own.
fn window_without_plugin<R: Runtime>(app: &App<R>) -> tauri::Result<()> {
    let data = app.path().app_local_data_dir()?.join("browser");
    window(app, "browser", WebviewUrl::App("browser/index.html".into())).data_directory(data).build()?;
    Ok(())
}

fn window<'a, R: Runtime>(
    app: &'a App<R>,
    label: &str,
    page: WebviewUrl,
) -> WebviewWindowBuilder<'a, R, App<R>> {
    WebviewWindowBuilder::new(app, label, page).title("Notes").inner_size(1000.0, 760.0)
}

fn context<R: Runtime>() -> Context<R> {
    tauri::generate_context!()
}

#[cfg(test)]
mod tests {
    use tauri::ipc::CallbackFn;
    use tauri::test::{INVOKE_KEY, get_ipc_response, mock_builder};
    use tauri::webview::InvokeRequest;

    use super::*;

    #[test]
    fn the_window_of_the_plugin_may_use_it_and_the_other_one_may_not() {
        let nowhere = std::env::temp_dir().join("sync-relay-notes-that-are-not-there");
        let app = with_plugin(mock_builder(), tauri_plugin_sync::Builder::new().folder(&nowhere));
        let app = app.build(context()).unwrap();
        let [main, browser] =
            ["main", "browser"].map(|label| window(&app, label, WebviewUrl::default()).build().unwrap());
        let ask = |webview, command: &str| {
            let request = InvokeRequest {
                cmd: format!("plugin:sync|{command}"),
                callback: CallbackFn(0),
                error: CallbackFn(1),
                url: "tauri://localhost".parse().unwrap(),
                body: Default::default(),
                headers: Default::default(),
                invoke_key: INVOKE_KEY.to_owned(),
            };
            get_ipc_response(webview, request).map(|body| body.deserialize::<bool>().ok())
        };
        assert_eq!(ask(&main, "exists"), Ok(Some(false)));
        let refused = ask(&browser, "exists").unwrap_err();
        assert!(refused.as_str().unwrap().contains("not allowed"), "{refused}");
        // Of the second set; it answers with nothing.
        assert_eq!(ask(&main, "wipe"), Ok(None));
        assert!(!nowhere.exists(), "nothing was made");
    }
}
