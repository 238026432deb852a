//! The Sync Relay client of a browser: what is WebAssembly of the npm package `sync-client-wasm`.
//!
//! The engine decides everything; this crate brings it a WebSocket, timers, `fetch` and a store in
//! IndexedDB, as `sync-client` brings it sockets and SQLite. What is *not* here: several tabs that are
//! one device. A [`Device`] believes that it is the only one with its store; the JavaScript around it
//! sees to that with a lock, and this crate's store refuses whoever does not own it any more.
//!
//! Everything runs on the page's own thread, in turns that are shorter than a frame of an animation is
//! late. The one thing that cannot be, the derivation of an invite code's keys ([`derive_code_keys`]),
//! is for a worker.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod browser;
mod clock;
mod derive;
mod device;
mod driver;
mod error;
mod http;
mod invite;
mod left_acks;
mod request;
mod socket;
mod store;
mod values;
mod warm;

pub use derive::derive_code_keys;
pub use device::Device;
pub use error::Error;
