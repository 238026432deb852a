//! Opening the device, and the things that every command does with it.

use std::time::Duration;

use anyhow::Result;
use sync_client::{Error, Fault, Keychain, SyncClient, SyncConfig};
use tokio::time::timeout;

use crate::args::Args;
use crate::notices;

/// How long a command waits for the outbox before it does its own work.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a command that only wants to know waits for a connection.
const GLANCE: Duration = Duration::from_secs(5);

/// The settings that the command line and the environment give.
pub(crate) fn config(args: &Args) -> SyncConfig {
    let mut config = SyncConfig::default();
    if let Some(home) = &args.home {
        config.folder.clone_from(home);
    }
    let keychain = std::env::var("SYNC_KEYCHAIN").unwrap_or_default();
    if matches!(keychain.to_ascii_lowercase().as_str(), "off" | "0" | "no" | "false") {
        config.keychain = Keychain::Off;
    }
    // A command that waits in line behind `watch` and a few others still gets its turn.
    config.open_timeout = Duration::from_secs(40);
    config
}

/// Opens the device that `init` made.
pub(crate) async fn open(args: &Args) -> Result<SyncClient> {
    let opened = SyncClient::open(config(args)).await;
    if let Err(error @ Error::NoDevice(_)) = opened {
        return Err(anyhow::Error::new(error).context("run `sync-cli init`"));
    }
    let client = opened?;
    notices::spawn(&client);
    Ok(client)
}

/// Connects, and sends what is queued for as long as that may take.
pub(crate) async fn connect(client: &SyncClient) -> Result<(), Error> {
    client.connect().await?;
    settle(client).await;
    Ok(())
}

/// Connects if that can be done soon; gives the reason if it cannot be done at all.
pub(crate) async fn glance(client: &SyncClient) -> Option<Error> {
    match timeout(GLANCE, client.connect()).await {
        Ok(Ok(())) => {
            settle(client).await;
            None
        }
        Ok(Err(error)) => Some(error),
        Err(_) => Some(Error::TimedOut),
    }
}

/// Sends what is queued, unless that takes too long.
pub(crate) async fn settle(client: &SyncClient) {
    if client.status().connected && client.status().pending_push > 0 {
        // What is left goes with the next command.
        let _ = client.flush(SETTLE).await;
    }
}

/// Whether trying again later may help.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.fault() == Fault::Unreachable
}
