//! The plugin in an app without a window system, against the real relay: what a webview would notice.
#![allow(clippy::unwrap_used, missing_docs)]

mod app;
mod exits;
mod membership;
mod permissions;
mod relay;
mod syncing;
