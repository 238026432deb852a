//! Makes the permissions of the commands, and shows the page's script to apps without a bundler.

/// The commands, for which `allow-…` and `deny-…` are made. They are those in `src/commands.rs`.
const COMMANDS: &[&str] = &[
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

fn main() {
    tauri_plugin::Builder::new(COMMANDS).global_api_script_path("./api-iife.js").build();
}
