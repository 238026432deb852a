//! An app whose webview calls commands.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tauri::ipc::{CallbackFn, InvokeBody, InvokeResponseBody};
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets};
use tauri::utils::acl::ExecutionContext;
use tauri::webview::InvokeRequest;
use tauri::{App, Listener, RunEvent, WebviewWindow, WebviewWindowBuilder};
use tauri_plugin_sync::Builder;
use tauri_plugin_sync::sync_client::Keychain;
use tempfile::TempDir;

use crate::relay::Relay;

/// Far more than anything takes: only a test that would hang runs into it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const COMMANDS: [&str; 22] = [
    "open",
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
    "remove_device",
    "rotate",
    "trust_relay",
    "leave",
    "delete_group",
    "wipe",
];

/// An app with one window, which may call everything.
pub(crate) struct Device {
    app: App<MockRuntime>,
    webview: WebviewWindow<MockRuntime>,
    events: Receiver<Value>,
}

/// What a webview gets as a page.
pub(crate) struct Page {
    pub(crate) head: Value,
    pub(crate) data: Vec<Vec<u8>>,
}

impl Page {
    pub(crate) fn end(&self) -> Value {
        json!({ "generation": self.head["generation"], "cursor": self.head["maxCursor"] })
    }
}

/// How tests set the plugin up.
pub(crate) fn plugin(relay: &Relay, folder: &Path, name: &str) -> Builder {
    Builder::new().relay(relay.url()).folder(folder).device_name(name).keychain(Keychain::Off)
}

/// An app in a folder of its own, which has a device.
pub(crate) fn device(relay: &Relay, name: &str) -> (Device, TempDir) {
    let folder = TempDir::new().unwrap();
    (Device::opened(plugin(relay, folder.path(), name)), folder)
}

impl Device {
    pub(crate) fn start(plugin: Builder) -> Self {
        Self::allowed(plugin, &COMMANDS)
    }

    /// An app whose page has opened the device, and made it if there was none.
    pub(crate) fn opened(plugin: Builder) -> Self {
        let device = Self::start(plugin);
        device.open();
        device
    }

    /// An app whose webview may call these commands only.
    pub(crate) fn allowed(plugin: Builder, commands: &[&str]) -> Self {
        let mut context = mock_context(noop_assets());
        for command in commands {
            let authority = context.runtime_authority_mut();
            authority.__allow_command(format!("plugin:sync|{command}"), ExecutionContext::Local);
        }
        let app = mock_builder().plugin(plugin.build()).build(context).unwrap();
        let webview = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
        let (sender, events) = channel();
        app.listen_any("sync://event", move |event| {
            // Nobody listens any more when a test is over.
            let _ = sender.send(serde_json::from_str(event.payload()).unwrap());
        });
        Self { app, webview, events }
    }

    pub(crate) fn app(&self) -> &App<MockRuntime> {
        &self.app
    }

    /// What the command gives, or what the promise rejects with.
    pub(crate) fn call(&self, command: &str, args: Value) -> Result<Value, Value> {
        match self.invoke(command, args.into())? {
            InvokeResponseBody::Json(text) => Ok(serde_json::from_str(&text).unwrap()),
            InvokeResponseBody::Raw(_) => panic!("{command} gives bytes"),
        }
    }

    pub(crate) fn invoke(&self, command: &str, body: InvokeBody) -> Result<InvokeResponseBody, Value> {
        let request = InvokeRequest {
            cmd: format!("plugin:sync|{command}"),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body,
            headers: Default::default(),
            invoke_key: INVOKE_KEY.to_owned(),
        };
        get_ipc_response(&self.webview, request)
    }

    /// Pushes bytes; gives the blob's id.
    pub(crate) fn push(&self, data: &[u8]) -> Value {
        self.invoke("push", data.to_vec().into()).unwrap().deserialize().unwrap()
    }

    /// Pushes bytes, and waits until the relay has them.
    pub(crate) fn send(&self, data: &[u8]) {
        self.push(data);
        self.call("flush", json!({})).unwrap();
    }

    pub(crate) fn pull(&self, args: Value) -> Result<Page, Value> {
        let InvokeResponseBody::Raw(bytes) = self.invoke("pull", args.into())? else {
            panic!("a page is bytes");
        };
        let (len, rest) = bytes.split_first_chunk::<4>().unwrap();
        let (head, mut rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        let head: Value = serde_json::from_slice(head).unwrap();
        let mut data = Vec::new();
        for blob in head["blobs"].as_array().unwrap() {
            let (own, others) = rest.split_at(blob["len"].as_u64().unwrap() as usize);
            data.push(own.to_vec());
            rest = others;
        }
        assert!(rest.is_empty(), "{} bytes belong to no blob", rest.len());
        Ok(Page { head, data })
    }

    /// The next page that has something in it.
    pub(crate) fn next_page(&self) -> Page {
        loop {
            let page = self.pull(json!({})).unwrap();
            if !page.data.is_empty() {
                return page;
            }
            self.wait_for("blobAvailable");
        }
    }

    pub(crate) fn open(&self) -> Value {
        self.call("open", json!({})).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        self.call("status", json!({})).unwrap()
    }

    /// The next event of this name.
    pub(crate) fn wait_for(&self, name: &str) -> Value {
        self.events_until(name).pop().unwrap()
    }

    /// All events up to the next one of this name.
    pub(crate) fn events_until(&self, name: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.last().is_none_or(|event| event["name"] != name) {
            let event = self.events.recv_timeout(PATIENCE);
            events.push(event.unwrap_or_else(|_| panic!("{name} does not come")));
        }
        events
    }

    /// Makes an invite, and the group with it.
    pub(crate) fn invite(&self) -> Value {
        self.call("connect", json!({})).unwrap();
        self.call("create_invite", json!({})).unwrap()
    }

    /// Lets another one in by a code.
    pub(crate) fn admit(&self, other: &Self) {
        let code = self.invite()["code"].clone();
        other.call("join", json!({ "invite": code })).unwrap();
        other.call("connect", json!({})).unwrap();
        self.wait_for("deviceJoined");
    }

    /// The person closes the window: the app runs to its end.
    pub(crate) fn close(self) {
        self.close_and(|| {});
    }

    /// As `close`; this happens when the window is gone, before the app ends.
    pub(crate) fn close_and(self, then: impl Fn() + 'static) {
        let Self { app, webview, .. } = self;
        app.run(move |_, event| {
            if matches!(event, RunEvent::Ready) {
                webview.destroy().unwrap();
            } else if matches!(event, RunEvent::ExitRequested { .. }) {
                then();
            }
        });
    }
}
