//! `pair --passphrase`: a group of a name and a passphrase.

use anyhow::Result;
use serde_json::json;
use sync_client::{Error, PassphraseGroup, SyncClient};

use crate::args::Args;
use crate::{device, output, secret};

pub(crate) async fn run(args: &Args, name: &str) -> Result<()> {
    let passphrase = secret::ask_twice("The group's passphrase (not shown): ")?;
    let group = PassphraseGroup::new(name, &passphrase).map_err(Error::from)?;
    // Only now: while the device is in use, other commands wait.
    let client = device::open(args).await?;
    let result = join(&client, args, group).await;
    client.close().await;
    result
}

async fn join(client: &SyncClient, args: &Args, group: PassphraseGroup) -> Result<()> {
    let name = output::harmless(group.name());
    client.join_passphrase_group(group).await?;
    match device::announce(client).await {
        Ok(()) => {}
        Err(error) if device::may_pass(&error) => {
            output::note(&format!("the others do not know of this device yet: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    let status = client.status();
    if args.json {
        return Ok(output::json(&json!({
            "device_id": status.device_id.to_string(),
            "group_id": status.group_id.map(|id| id.to_string()),
            "relay": status.relay.map(|url| url.to_string()),
            "fingerprint": status.fingerprint,
        }))?);
    }
    anstream::println!("\x1b[1m{}\x1b[0m is in the group {name:?}.", status.name);
    if let Some(fingerprint) = status.fingerprint {
        println!(
            "The fingerprint must be {fingerprint} on every device; on another one, something was typed \
            differently."
        );
    }
    Ok(())
}
