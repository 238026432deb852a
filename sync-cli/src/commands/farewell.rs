//! `leave`, `delete-group` and `wipe`: the ends of a membership.

use anyhow::Result;
use serde_json::json;
use sync_client::{Error, SyncClient};

use crate::args::{Args, Confirmed};
use crate::confirm::confirm;
use crate::{device, output};

pub(crate) async fn leave(client: &SyncClient, args: &Args, confirmed: &Confirmed) -> Result<()> {
    let status = client.status();
    if status.group_id.is_none() {
        return Err(Error::NoGroup.into());
    }
    let name = output::harmless(status.name.as_str());
    confirm(&format!("Let {name} leave the group, and erase it here?"), confirmed)?;
    let left = match device::connect(client).await {
        Ok(()) => client.leave().await,
        Err(error) => Err(error),
    };
    if let Err(error) = left {
        output::note("nothing was erased; `sync-cli wipe` erases this device without telling anybody");
        return Err(error.into());
    }
    if args.json {
        return Ok(output::json(&json!({ "left": true, "wiped": true }))?);
    }
    println!("{name} has left the group, and nothing of it is here any more.");
    Ok(())
}

pub(crate) async fn delete_group(client: &SyncClient, args: &Args, confirmed: &Confirmed) -> Result<()> {
    let Some(group_id) = client.status().group_id else {
        return Err(Error::NoGroup.into());
    };
    let question = "Erase the group at the relay, with everything that its devices have sent?";
    confirm(question, confirmed)?;
    device::connect(client).await?;
    client.delete_group().await?;
    if args.json {
        return Ok(output::json(&json!({ "deleted": group_id.to_string() }))?);
    }
    println!(
        "The group is erased at the relay. What the devices hold stays: `sync-cli wipe` erases it here."
    );
    Ok(())
}

/// Needs no device that opens.
pub(crate) async fn wipe(args: &Args, confirmed: &Confirmed) -> Result<()> {
    let config = device::config(args);
    let folder = config.folder.display();
    confirm(&format!("Erase the device in {folder}, with everything that it has not sent?"), confirmed)?;
    SyncClient::wipe_folder(&config).await?;
    if args.json {
        return Ok(output::json(&json!({ "wiped": true, "home": folder.to_string() }))?);
    }
    println!("Nothing of the device is here any more. If it is in a group, remove it from another device.");
    Ok(())
}
