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
        println!(
            "{}  {:<24} {:<10} {}",
            device::short(&device.device_id),
            output::harmless(name),
            output::harmless(platform),
            state(device)
        );
    }
    Ok(())
}

fn state(device: &DeviceInfo) -> String {
    let read = device.acked_cursor;
    if !device.member {
        let id = device::short(&device.device_id);
        return format!("nobody has announced it: is it just joining? `sync-cli remove {id}` shuts it out");
    }
    match (device.this_device, device.online, device.last_seen.0) {
        (true, _, _) => format!("this device, has read up to cursor {read}"),
        (false, true, _) => format!("online, has read up to cursor {read}"),
        (false, false, 0) => "not known to the relay".to_owned(),
        (false, false, at) => format!("last seen {}, has read up to cursor {read}", output::time(at)),
    }
}

fn object(device: &DeviceInfo) -> serde_json::Value {
    json!({
        "device_id": device.device_id.to_string(),
        "name": device.name.as_ref().map(|name| name.as_str()),
        "platform": device.platform,
        "online": device.online,
        "this_device": device.this_device,
        "member": device.member,
        "acked_cursor": device.acked_cursor.get(),
        "last_seen": device.last_seen.0,
    })
}
