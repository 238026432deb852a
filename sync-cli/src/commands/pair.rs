//! `pair`: lets another device join, joins from here, or takes an invite back.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;
use sync_client::{DeviceId, Event, InviteHandle, RelayUrl, SyncClient};
use tokio::time::{Instant, sleep_until};

use crate::args::{Args, Pair};
use crate::{device, output};

pub(crate) async fn run(client: &SyncClient, args: &Args, pair: &Pair) -> Result<()> {
    match &pair.join {
        Some(invite) => join(client, args, invite).await,
        None if pair.revoke => revoke(client, args).await,
        None => create(client, args, pair.page.as_ref()).await,
    }
}

async fn create(client: &SyncClient, args: &Args, page: Option<&RelayUrl>) -> Result<()> {
    let mut events = client.subscribe();
    device::connect(client).await?;
    let invite = client.create_invite().await?;
    let link = page.map_or_else(|| Ok(invite.link()), |page| invite.link_to(page.as_str()))?;
    // A group that was made just now begins with this device's announcement.
    device::settle(client).await;
    if args.json {
        return Ok(output::json(&json!({
            "code": invite.code(),
            "link": link,
            "expires_at": invite.expires_at().0 / 1000,
        }))?);
    }
    anstream::println!("Code  \x1b[1m{}\x1b[0m", invite.code());
    println!("Link  {link}");
    if !output::is_terminal() {
        return Ok(());
    }
    if let Some(picture) = output::qr(&link) {
        anstream::println!("\n{picture}");
    }
    println!("Any of these lets one other device join, for ten minutes: `sync-cli pair --join CODE`.");
    wait_for_joiner(client, &mut events, &invite).await
}

/// Waits until somebody joined, the invite ended, or the person has seen enough.
async fn wait_for_joiner(
    client: &SyncClient,
    events: &mut sync_client::Events,
    invite: &InviteHandle,
) -> Result<()> {
    let mut known = known_devices(client).await;
    let spinner = output::spinner("waiting for the other device (Ctrl-C stops waiting)");
    let ends = sleep_until(Instant::now() + until(invite));
    tokio::pin!(ends);
    let said = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::DeviceJoined { device_id, name, platform }) if known.insert(device_id) => {
                    let platform = output::harmless(&platform);
                    break format!("\x1b[1m{name}\x1b[0m ({platform}) joined.");
                }
                // Another process had its turn: it may have heard of the joiner in our place.
                Some(Event::Connected) => {
                    let joined = client.devices().await.unwrap_or_default();
                    let mut new = joined.into_iter().filter(|d| !d.this_device && known.insert(d.device_id));
                    if let Some(device) = new.next() {
                        let name = device.name.map_or_else(|| device.device_id.to_string(), |n| n.to_string());
                        break format!("\x1b[1m{name}\x1b[0m joined.");
                    }
                }
                Some(_) => {}
                None => break "This device was closed.".to_owned(),
            },
            () = &mut ends => break "Nobody joined; the invite works no more.".to_owned(),
            _ = tokio::signal::ctrl_c() => {
                break "The invite still works; `sync-cli pair --revoke` takes it back.".to_owned();
            }
        }
    };
    spinner.finish_and_clear();
    anstream::println!("{said}");
    Ok(())
}

async fn known_devices(client: &SyncClient) -> BTreeSet<DeviceId> {
    let devices = client.devices().await.unwrap_or_default();
    devices.into_iter().map(|device| device.device_id).collect()
}

fn until(invite: &InviteHandle) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(invite.expires_at().0).saturating_sub(now)
}

async fn join(client: &SyncClient, args: &Args, invite: &str) -> Result<()> {
    client.join(invite).await?;
    // The others hear of this device as soon as it has announced itself.
    if let Err(error) = device::announce(client).await {
        output::note(&format!("joined, but the others do not know yet: {error}"));
    }
    let status = client.status();
    let relay = status.relay.map(|url| url.to_string()).unwrap_or_default();
    if args.json {
        return Ok(output::json(&json!({
            "device_id": status.device_id.to_string(),
            "group_id": status.group_id.map(|id| id.to_string()),
            "relay": relay,
        }))?);
    }
    anstream::println!("\x1b[1m{}\x1b[0m joined the group at {relay}.", status.name);
    Ok(())
}

async fn revoke(client: &SyncClient, args: &Args) -> Result<()> {
    client.revoke_last_invite().await?;
    if args.json {
        return Ok(output::json(&json!({ "revoked": true }))?);
    }
    println!("The invite works no more.");
    Ok(())
}
