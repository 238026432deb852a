//! Clients against the real relay: what a person would notice.
#![allow(clippy::unwrap_used, missing_docs)]

mod identity;
mod leaving;
mod pairing;
mod proxy;
mod pushing;
mod recovery;
mod relay;
mod removal;
mod reset;
mod support;
mod turns;
