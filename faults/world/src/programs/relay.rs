//! The relay, by a clock of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use sync_relay::{ByteSize, Config, Seconds};
use tokio::net::TcpListener;

use super::{logging, orders, say};
use crate::wall;

/// What the relay is told at its start.
#[derive(Debug, Args)]
pub struct Options {
    #[arg(long)]
    bind: SocketAddr,
    #[arg(long)]
    database: PathBuf,
    /// Seconds between cleanups.
    #[arg(long, default_value_t = 3600)]
    cleanup: u64,
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    ahead: i64,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    wall::set_ahead(options.ahead);
    logging("debug,hyper=off,sqlx=off")?;
    let mut orders = orders();
    let mut config = Config::default();
    config.storage.database = Some(options.database);
    // The load is no abuse.
    config.storage.max_group_storage = ByteSize(4 << 30);
    config.storage.max_db_size = ByteSize(8 << 30);
    config.limits.messages_per_minute = 1_000_000;
    config.cleanup.interval = Seconds(options.cleanup);
    let listener = TcpListener::bind(options.bind).await?;
    say(format_args!("listens {}", listener.local_addr()?));
    let told_to_end = async move { while orders.recv().await.is_some_and(|order| order != "end") {} };
    sync_relay::serve_by(wall::now, config, listener, told_to_end).await?;
    Ok(())
}
