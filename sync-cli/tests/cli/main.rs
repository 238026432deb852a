//! The command line against the real relay, as a person and a script use it.
#![allow(clippy::unwrap_used, missing_docs)]

mod device;
mod failures;
mod first_day;
mod leaks;
mod membership;
mod queue;
#[path = "../../../client-native/tests/real_relay/relay.rs"]
mod relay;
mod watching;
