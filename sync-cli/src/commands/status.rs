//! `status`: how things stand.

use anyhow::Result;
use serde_json::json;
use sync_client::SyncClient;

use crate::args::Args;
use crate::{device, output};

pub(crate) async fn run(client: &SyncClient, args: &Args) -> Result<()> {
    let trouble = device::glance(client).await;
    if trouble.is_none() {
        device::catch_up(client).await;
    }
    let status = client.status();
    let group_id = status.group_id.map(|id| id.to_string());
    let relay = status.relay.map(|url| url.to_string());
    if args.json {
        if let Some(error) = trouble {
            output::note(&error.to_string());
        }
        return Ok(output::json(&json!({
            "device_id": status.device_id.to_string(),
            "group_id": group_id,
            "relay": relay,
            "epoch": status.epoch,
            "fingerprint": status.fingerprint,
            "connected": status.connected,
            "last_cursor": status.last_cursor.get(),
            "max_cursor": status.max_cursor.get(),
            "pending_push": status.pending_push,
        }))?);
    }
    println!("device     {} ({})", status.name, status.device_id);
    println!("group      {}", group_id.as_deref().unwrap_or("none yet"));
    if let (Some(epoch), Some(fingerprint)) = (status.epoch, status.fingerprint) {
        println!(
            "key        number {epoch}, fingerprint {fingerprint}: the same on every device of the group"
        );
    }
    println!("relay      {}", relay.as_deref().unwrap_or("none yet"));
    match (status.connected, trouble) {
        (true, _) => println!("connected  yes"),
        (false, None) => println!("connected  no: there is nothing to connect for yet"),
        (false, Some(error)) => println!("connected  no: {error}"),
    }
    println!("read       up to cursor {} of {}", status.last_cursor, status.max_cursor);
    println!("queued     {}", status.pending_push);
    Ok(())
}
