//! What all apps have: a device, a journal, and somebody who tells them what to do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use data_encoding::HEXLOWER;
use sync_client::{EpochSecret, Error, Event, Fault, Keychain, SyncClient, SyncConfig};

use tokio::sync::mpsc;

use super::{logging, say};
use crate::journal::{Entry, Journal};
use crate::wall;

/// What every app is told at its start.
#[derive(Debug, Args)]
pub(super) struct AppOptions {
    /// The device's folder.
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    pub(super) journal: PathBuf,
    #[arg(long)]
    relay: String,
    /// Begins every text.
    #[arg(long)]
    pub(super) marker: String,
    /// The group's secret, in hexadecimal digits. Without it the app waits for an invite, or makes a group.
    #[arg(long)]
    group: Option<String>,
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    ahead: i64,
    /// The network is back as soon as it was lost, and the system says so.
    #[arg(long)]
    pub(super) eager: bool,
}

/// Opens the device, or makes it, and connects. A relay that is away just now is no error.
pub(super) async fn start(options: &AppOptions) -> anyhow::Result<(SyncClient, Journal)> {
    wall::set_ahead(options.ahead);
    logging("warn")?;
    let group_key = match &options.group {
        Some(hex) => {
            let bytes = HEXLOWER.decode(hex.as_bytes())?;
            Some(EpochSecret::from_bytes(bytes.try_into().ok().context("a secret has 32 bytes")?))
        }
        None => None,
    };
    let mut journal = Journal::open(&options.journal)?;
    journal.write(&[Entry::Start])?;
    let config = SyncConfig {
        keychain: Keychain::Off,
        group_key,
        wall_clock: wall::now,
        ..SyncConfig::new(&options.relay)?.in_folder(&options.folder).named("device")
    };
    let client = SyncClient::new(config).await?;
    if options.eager {
        tokio::spawn(return_at_once(client.clone()));
    }
    connect(&client).await?;
    Ok((client, journal))
}

async fn return_at_once(client: SyncClient) {
    let mut events = client.subscribe();
    while let Some(event) = events.next().await {
        if matches!(event, Event::Disconnected { stopped: None }) {
            client.woke();
        }
    }
}

/// Connects, now or as soon as the relay is there.
pub(super) async fn connect(client: &SyncClient) -> Result<(), Error> {
    match client.connect().await {
        Err(error) if error.fault() != Fault::Unreachable => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Does what every app can be told, also while this one waits for something; the rest is for this one.
pub(super) fn orders(client: &SyncClient) -> mpsc::UnboundedReceiver<String> {
    let (client, mut orders) = (client.clone(), super::orders());
    let (sender, rest) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if let Some(order) = obey(&client, order).await {
                let _ = sender.send(order);
            }
        }
    });
    rest
}

async fn obey(client: &SyncClient, order: String) -> Option<String> {
    if order == "woke" {
        client.woke();
    } else if order == "end" {
        client.clone().close().await;
        std::process::exit(0);
    } else if order == "invite" {
        match client.create_invite().await {
            Ok(invite) => say(format_args!("invite {}", invite.code())),
            Err(error) => say(format_args!("refused {error}")),
        }
    } else if let Some(code) = order.strip_prefix("join ") {
        let joined = async {
            client.join(code).await?;
            connect(client).await
        };
        match joined.await {
            Ok(()) => say("joined"),
            Err(error) => say(format_args!("refused {error}")),
        }
    } else {
        return Some(order);
    }
    None
}

/// What frightens a person, and what no fault of the network's or the power's may cause.
pub(super) fn alarm(event: &Event) -> Option<Entry> {
    let alarming = match event {
        Event::PushRejected { .. }
        | Event::PushRenamed { .. }
        | Event::RelayFull { .. }
        | Event::DeviceRemoved { .. }
        | Event::KeyRotated { .. }
        | Event::UnknownDevice { .. }
        | Event::InviteMisused
        | Event::HistoryTruncated { .. }
        | Event::RelayReset
        | Event::RestoreWaits
        | Event::BlobRefused { .. }
        | Event::ChainBroken { .. }
        | Event::Forked { .. }
        | Event::RotationRefused { .. }
        | Event::RotationWithheld { .. }
        | Event::RelayMisbehaved => true,
        Event::Disconnected { stopped } => stopped.is_some(),
        Event::Connected
        | Event::BlobAvailable { .. }
        | Event::PushAcked { .. }
        | Event::DeviceJoined { .. }
        | Event::PresenceChanged { .. } => false,
    };
    alarming.then(|| Entry::Alarm(format!("{event:?}")))
}

/// Longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
