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
    use std::path::Path;

    use tauri::WebviewWindow;
    use tauri::ipc::{CallbackFn, CapabilityBuilder};
    use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder};
    use tauri::webview::InvokeRequest;

    use super::*;

    /// What `sync:default` allows, without `open`: it would make a device.
    const DEFAULT: [&str; 15] = [
        "exists",
        "connect",
        "disconnect",
        "woke",
        "push",
        "pull",
        "ack",
        "flush",
        "status",
        "last_cursor",
        "devices",
        "create_invite",
        "revoke_invite",
        "join",
        "restore",
    ];
    /// What `sync:membership` allows.
    const MEMBERSHIP: [&str; 6] = ["remove_device", "rotate", "trust_relay", "leave", "delete_group", "wipe"];

    /// The app, whose device would be in a folder of this name.
    fn app(name: &str) -> App<MockRuntime> {
        let folder = std::env::temp_dir().join("sync-relay-notes-that-are-not-there").join(name);
        assert!(!folder.exists());
        let sync = tauri_plugin_sync::Builder::new().folder(folder);
        with_plugin(mock_builder(), sync).build(context()).unwrap()
    }

    fn webview(app: &App<MockRuntime>, label: &str) -> WebviewWindow<MockRuntime> {
        window(app, label, WebviewUrl::default()).build().unwrap()
    }

    /// Whether the window may call the command. There is no device, so nothing comes of it.
    fn may(webview: &WebviewWindow<MockRuntime>, command: &str) -> bool {
        let request = InvokeRequest {
            cmd: format!("plugin:sync|{command}"),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: Default::default(),
            headers: Default::default(),
            invoke_key: INVOKE_KEY.to_owned(),
        };
        let answer = get_ipc_response(webview, request);
        let refused = |text: &str| text.contains("not allowed") || text.contains("explicitly denied");
        !answer.is_err_and(|error| error.as_str().is_some_and(refused))
    }

    #[test]
    fn windows_finds_an_icon_of_its_kind() {
        let icons = context::<MockRuntime>().config().bundle.icon.clone();
        let icon = icons.iter().find(|icon| icon.ends_with(".ico")).unwrap();
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(icon)).unwrap();
        assert!(bytes.starts_with(&[0, 0, 1, 0]));
    }

    #[test]
    fn the_window_of_the_plugin_may_use_it_and_the_other_one_may_not() {
        let app = app("windows");
        let (main, browser) = (webview(&app, "main"), webview(&app, "browser"));
        for command in DEFAULT.into_iter().chain(MEMBERSHIP) {
            assert!(may(&main, command), "{command}");
            assert!(!may(&browser, command), "{command}");
        }
        assert!(!may(&browser, "open"));
    }

    /// A window of this name with these permissions.
    fn with(app: &App<MockRuntime>, label: &str, permissions: &[&str]) -> WebviewWindow<MockRuntime> {
        let capability = CapabilityBuilder::new(label).window(label);
        let capability = permissions.iter().fold(capability, |all, one| all.permission(*one));
        app.add_capability(capability).unwrap();
        webview(app, label)
    }

    #[test]
    fn the_default_is_without_what_cannot_be_undone() {
        let app = app("default");
        let default = with(&app, "default", &["sync:default"]);
        for command in DEFAULT {
            assert!(may(&default, command), "{command}");
        }
        for command in MEMBERSHIP {
            assert!(!may(&default, command), "{command}");
        }
    }

    #[test]
    fn what_is_denied_to_one_window_is_denied_to_the_whole_app() {
        let app = app("deny");
        let reader = with(&app, "reader", &["sync:default", "sync:deny-push"]);
        let main = webview(&app, "main");
        for command in DEFAULT {
            assert_eq!(may(&reader, command), command != "push", "{command}");
            assert_eq!(may(&main, command), command != "push", "{command}");
        }
    }
}
