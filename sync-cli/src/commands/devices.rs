//! `devices`: who is in the group.

use anyhow::Result;
use serde_json::json;
use sync_client::{DeviceInfo, Error, SyncClient};

use crate::args::Args;
use crate::{device, output};

pub(crate) async fn run(client: &SyncClient, args: &Args) -> Result<()> {
    if client.status().group_id.is_none() {
        return Err(Error::NoGroup.into());
    }
    device::connect(client).await?;
    let devices = client.devices().await?;
    if args.json {
        let devices: Vec<_> = devices.iter().map(object).collect();
        return Ok(output::json(&json!({ "devices": devices }))?);
    }
    for device in &devices {
        let name = device.name.as_ref().map_or("(name unknown)", |name| name.as_str());
        let platform = device.platform.as_deref().unwrap_or("?");
        let here = match (device.this_device, device.online) {
            (true, _) => "this device".to_owned(),
            (false, true) => "online".to_owned(),
            (false, false) => format!("last seen {}", output::time(device.last_seen.0)),
        };
        println!(
            "{:<24} {:<10} {here}, has read up to cursor {}",
            output::harmless(name),
            output::harmless(platform),
            device.acked_cursor
        );
    }
    Ok(())
}

fn object(device: &DeviceInfo) -> serde_json::Value {
    json!({
        "device_id": device.device_id.to_string(),
        "name": device.name.as_ref().map(|name| name.as_str()),
        "platform": device.platform,
        "online": device.online,
        "this_device": device.this_device,
        "acked_cursor": device.acked_cursor.get(),
        "last_seen": device.last_seen.0,
    })
}
