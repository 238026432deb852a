//! `recovery`: the group in a file, and back.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sync_client::{Error, SyncClient};

use crate::args::Args;
use crate::failure::Usage;
use crate::{device, output, secret};

/// More than any recovery file has.
const MAX_READ: u64 = 16 * 1024 * 1024;

pub(crate) async fn export(client: &SyncClient, args: &Args, file: &Path) -> Result<()> {
    let shows = io::stderr().is_terminal() || io::stdout().is_terminal();
    if !args.json && !shows {
        let text = "there is no terminal to show the six words on; --json prints them on stdout";
        return Err(Usage(text.to_owned()).into());
    }
    if file.exists() {
        return Err(Error::FileExists(file.to_owned()).into());
    }
    // A key that the group got meanwhile belongs into it.
    match device::glance(client).await {
        None => device::catch_up(client).await,
        Some(error) => output::note(&format!("{error}; the file is as new as this device")),
    }
    let recovery = client.export_recovery().await?;
    recovery.save(file)?;
    if args.json {
        return Ok(output::json(&json!({
            "file": file.display().to_string(),
            "phrase": recovery.expose_phrase(),
            "epoch": client.status().epoch,
        }))?);
    }
    let words = format!("\n    \x1b[1m{}\x1b[0m\n", recovery.expose_phrase());
    if io::stderr().is_terminal() {
        anstream::eprintln!("{words}");
    } else {
        anstream::println!("{words}");
    }
    println!("These six words open {}. They are shown only now: write them down on paper.", file.display());
    println!("Keep the file where it survives your devices, and make another one when a device was removed.");
    Ok(())
}

pub(crate) async fn import(args: &Args, file: &Path) -> Result<()> {
    let name = || file.display().to_string();
    let mut bytes = Vec::new();
    File::open(file).with_context(name)?.take(MAX_READ).read_to_end(&mut bytes).with_context(name)?;
    let phrase = secret::ask("The six words (not shown): ")?;
    // Only now: while the device is in use, other commands wait.
    let client = device::open(args).await?;
    let result = bring_back(&client, args, &bytes, &phrase).await;
    client.close().await;
    result
}

async fn bring_back(client: &SyncClient, args: &Args, file: &[u8], phrase: &str) -> Result<()> {
    client.import_recovery(file, phrase).await?;
    match device::announce(client).await {
        Ok(()) => {}
        Err(error) if device::may_pass(&error) => {
            output::note(&format!(
                "the group is back on this device, but the relay has not seen it: {error}"
            ));
        }
        Err(error) => return Err(error.into()),
    }
    let status = client.status();
    if args.json {
        return Ok(output::json(&json!({
            "device_id": status.device_id.to_string(),
            "group_id": status.group_id.map(|id| id.to_string()),
            "relay": status.relay.map(|url| url.to_string()),
            "epoch": status.epoch,
        }))?);
    }
    anstream::println!("\x1b[1m{}\x1b[0m is in the group.", status.name);
    println!("Whoever finds a lost device can read: `sync-cli devices`, then `sync-cli remove DEVICE`.");
    Ok(())
}
