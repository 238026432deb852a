//! The Sync Relay client as a sans-I/O state machine.
//!
//! [`Engine`] decides everything that a client does: handshake and HELLO, sealing, the outbox,
//! pulling, acknowledging, retries, invites. It opens no socket, writes no file, reads no clock and
//! asks nobody for randomness, so the same code runs in a native app, in a browser and in a
//! simulation. What it is not: a driver. Around it one writes this loop:
//!
//! ```no_run
//! # use sync_engine::{Engine, Input, Output};
//! # use sync_types::{Now, MonoMs};
//! # fn now() -> Now { Now::default() }
//! # fn next_input(_until: Option<MonoMs>) -> Input { Input::Tick }
//! # fn run(mut engine: Engine) {
//! loop {
//!     while let Some(output) = engine.poll_output() {
//!         match output {
//!             Output::Connect(relay) => { /* open a WebSocket; later Connected or Closed */ }
//!             Output::Send(frame) => { /* send it on that WebSocket */ }
//!             Output::Disconnect => { /* close it */ }
//!             Output::Store(batch, changes) => { /* write them, then Stored(batch) */ }
//!             Output::Event(event) => { /* tell the app */ }
//!             Output::Reply(command, result) => { /* answer whoever asked */ }
//!         }
//!     }
//!     let input = next_input(engine.poll_timeout()); // Tick, when that moment comes first
//!     engine.handle(now(), input);
//! }
//! # }
//! ```
//!
//! Two promises hold between the engine and its driver. What leaves the device or is promised to the
//! app only after it is durable waits for [`Input::Stored`]; and a driver that cannot store drops the
//! engine and opens another one from the store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod engine;
mod error;
mod rows;
mod timer;
mod window;

pub use api::*;
pub use engine::{Engine, NewDevice};
pub use error::{EngineError, StateError, StopReason};
pub use rows::Change;
