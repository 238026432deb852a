//! Opening the device, and the things that every command does with it.

use std::time::Duration;

use anyhow::Result;
use sync_client::{DeviceId, Error, Fault, Keychain, SyncClient, SyncConfig};
use tokio::time::timeout;

use crate::args::Args;
use crate::notices;

/// How long a command waits for the outbox before it does its own work.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a command that only wants to know waits for a connection.
const GLANCE: Duration = Duration::from_secs(5);
/// How long a joiner's announcement may take before the command ends without it.
const ANNOUNCE: Duration = Duration::from_secs(15);
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

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

/// Sends what followed from a command: this device's word that it is in the new epoch, say. What does not
/// leave soon goes with the next command.
pub(crate) async fn finish(client: &SyncClient) {
    let _ = client.flush(SETTLE).await;
}

/// Reads everything that has come, so that what is shown is as new as the log. Only as well as it can.
pub(crate) async fn catch_up(client: &SyncClient) {
    let _ = timeout(GLANCE, client.devices()).await;
}

/// Ends when what is queued does not leave before somebody acts; never otherwise.
pub(crate) async fn held_up(client: &SyncClient) -> Error {
    match client.flush(FOR_EVER).await {
        Err(error) => error,
        Ok(()) => std::future::pending().await,
    }
}

/// Joined: lets the others know, for as long as that may take.
pub(crate) async fn announce(client: &SyncClient) -> Result<(), Error> {
    client.connect().await?;
    client.flush(ANNOUNCE).await
}

/// The first letters of a device's id, by which people and commands can name it.
pub(crate) fn short(device: &DeviceId) -> String {
    device.to_string().chars().take(8).collect()
}

/// Whether trying again later may help.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.fault() == Fault::Unreachable
}
