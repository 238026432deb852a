//! `remove` and `rotate`: a new key for the group.

use anyhow::Result;
use serde_json::{Value, json};
use sync_client::{DeviceInfo, Error, SyncClient};

use crate::args::{Args, Remove, Rotate};
use crate::confirm::confirm;
use crate::failure::Usage;
use crate::{device, output};

pub(crate) async fn remove(client: &SyncClient, args: &Args, remove: &Remove) -> Result<()> {
    device::connect(client).await?;
    let devices = client.devices().await?;
    let chosen = find(&devices, &remove.device)?;
    if chosen.this_device {
        return Err(anyhow::Error::new(Error::RemovesItself).context("see `sync-cli leave`"));
    }
    let name = called(chosen);
    let question = format!("Remove {name} for good? It keeps what it has read, and gets nothing new.");
    confirm(&question, &remove.confirmed)?;
    client.remove_devices(&[chosen.device_id], !remove.rotate.forget_history).await?;
    let removed = json!({ "removed": chosen.device_id.to_string() });
    report(client, args, removed, &format!("{name} was removed.")).await
}

pub(crate) async fn rotate(client: &SyncClient, args: &Args, rotate: &Rotate) -> Result<()> {
    device::connect(client).await?;
    client.rotate(!rotate.forget_history).await?;
    report(client, args, json!({}), "The group has a new key.").await
}

async fn report(client: &SyncClient, args: &Args, mut object: Value, sentence: &str) -> Result<()> {
    device::finish(client).await;
    let status = client.status();
    if args.json {
        object["epoch"] = status.epoch.into();
        object["fingerprint"] = status.fingerprint.into();
        return Ok(output::json(&object)?);
    }
    println!("{sentence}");
    if let (Some(epoch), Some(fingerprint)) = (status.epoch, status.fingerprint) {
        println!(
            "The group's key is number {epoch} now. On every device that has it, `sync-cli status` shows the \
             fingerprint {fingerprint}."
        );
    }
    println!("A recovery file from before is of no use any more: `sync-cli recovery export FILE`.");
    Ok(())
}

/// The one device that is meant by its name, its id, or the beginning of its id.
fn find<'a>(devices: &'a [DeviceInfo], wanted: &str) -> Result<&'a DeviceInfo> {
    let id_is = |device: &&DeviceInfo| device.device_id.to_string() == wanted;
    if let Some(device) = devices.iter().find(id_is) {
        return Ok(device);
    }
    let meant: Vec<_> = devices
        .iter()
        .filter(|device| {
            let named = device.name.as_ref().is_some_and(|name| name.as_str() == wanted);
            named || (!wanted.is_empty() && device.device_id.to_string().starts_with(wanted))
        })
        .collect();
    match meant.as_slice() {
        [device] => Ok(device),
        [] => Err(Usage(format!("there is no device {wanted:?}; `sync-cli devices` lists them")).into()),
        several => {
            let several: Vec<_> = several.iter().map(|device| called(device)).collect();
            let text = format!("{wanted:?} may be {}: name one by its id", several.join(" or "));
            Err(Usage(text).into())
        }
    }
}

fn called(device: &DeviceInfo) -> String {
    let name = device.name.as_ref().map_or("(name unknown)", |name| name.as_str());
    format!("{} ({})", output::harmless(name), device::short(&device.device_id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sync_client::{Cursor, DeviceName, DeviceSecret, UnixMs};

    use super::*;

    fn device(n: u8, name: &str) -> DeviceInfo {
        DeviceInfo {
            device_id: DeviceSecret::from_bytes([n; 32]).id(),
            name: DeviceName::new(name),
            platform: None,
            acked_cursor: Cursor::ZERO,
            last_seen: UnixMs(0),
            online: false,
            this_device: false,
            member: true,
        }
    }

    #[test]
    fn a_device_is_meant_by_name_id_or_the_beginning_of_the_id_and_never_by_chance() {
        let id = |device: &DeviceInfo| device.device_id.to_string();
        let mut devices = vec![device(1, "phone"), device(2, "phone"), device(3, "tablet")];
        let found = |devices: &[DeviceInfo], wanted: &str| find(devices, wanted).map(id).ok();
        let (first, third) = (id(&devices[0]), id(&devices[2]));
        assert_eq!(found(&devices, &first), Some(first.clone()));
        assert_eq!(found(&devices, &first[..8]), Some(first.clone()));
        assert_eq!(found(&devices, "tablet"), Some(third));
        for nobody in ["", "Tablet", "tab", &first[1..9]] {
            assert_eq!(found(&devices, nobody), None, "{nobody}");
        }
        let ambiguous = find(&devices, "phone").unwrap_err().to_string();
        assert!(ambiguous.contains(&first[..8]) && ambiguous.contains(&id(&devices[1])[..8]), "{ambiguous}");
        // A name that looks like another one's id.
        devices.push(device(4, &first[..8]));
        assert_eq!(found(&devices, &first[..8]), None);
        assert_eq!(found(&devices, &first), Some(first));
    }
}
