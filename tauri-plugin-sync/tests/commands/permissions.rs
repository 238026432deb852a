use serde_json::json;
use tauri::test::{mock_builder, mock_context, noop_assets};
use tempfile::TempDir;

use crate::app::{COMMANDS, Device, plugin};
use crate::relay::Relay;

#[test]
fn a_command_that_is_not_allowed_is_refused_and_does_nothing() {
    let relay = Relay::start();
    let folder = TempDir::new().unwrap();
    let a = Device::allowed(plugin(&relay, folder.path(), "laptop"), &["exists"]);
    for command in COMMANDS.into_iter().filter(|command| *command != "exists") {
        let refused =
            a.call(command, json!({ "invite": "x", "deviceId": "x", "cursor": 1, "key": "x" })).unwrap_err();
        let text = refused.as_str().unwrap_or_default();
        assert!(text.contains(&format!("sync.{command} not allowed")), "{command}: {refused}");
    }
    assert_eq!(a.call("exists", json!({})).unwrap(), false);
}

#[test]
fn an_app_with_an_impossible_relay_does_not_start() {
    let relay = Relay::start();
    let folder = TempDir::new().unwrap();
    let plugin = plugin(&relay, folder.path(), "laptop").relay("no address");
    let error = mock_builder().plugin(plugin.build()).build(mock_context(noop_assets())).err().unwrap();
    assert!(error.to_string().contains("the relay's address cannot be used"), "{error}");
}
