//! The Sync Relay server: stores and forwards what it cannot read.
//!
//! [`serve`] is the whole program; the binary reads its [`Config`] from a file and the command line.
//! The trip of a blob is in `socket.rs`, from top to bottom. What is decided along the way is in
//! `sync-relay-core`, which does no input or output; this crate does nothing else.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = sync_relay::Config::default();
//! let listener = tokio::net::TcpListener::bind(config.server.bind).await?;
//! let until = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
//! sync_relay::serve(config, listener, until).await?;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod caller;
mod cleaner;
mod clock;
mod config;
mod fanout;
mod http;
mod lobby;
mod measured;
mod memory;
mod metrics;
mod network;
mod rations;
#[cfg(feature = "record")]
pub mod record;
mod relay;
mod socket;
pub mod sqlite;
mod units;
mod writer;

pub use clock::WallClock;
pub use config::{
    Cleanup, Config, ConfigError, Groups, Limits, Log, LogFormat, MetricsAccess, Server, Storage,
};
pub use network::{Network, NetworkError};
pub use relay::{ServeError, serve, serve_by, serve_with};
pub use units::{ByteSize, Seconds};
