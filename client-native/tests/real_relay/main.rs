//! Clients against the real relay: what a person would notice.
#![allow(clippy::unwrap_used, missing_docs)]

mod identity;
mod pairing;
mod proxy;
mod pushing;
mod relay;
mod reset;
mod support;
mod turns;
