//! `init`: makes this device.

use anyhow::Result;
use serde_json::json;
use sync_client::{KeyPlace, SyncClient};

use crate::args::{Args, Init};
use crate::{device, output};

pub(crate) async fn run(args: &Args, init: &Init) -> Result<()> {
    let mut config = device::config(args);
    config.device_name.clone_from(&init.name);
    config.relay_url.clone_from(&init.relay);
    config.access_token.clone_from(&init.access_token);
    let folder = config.folder.clone();
    let client = SyncClient::create(config).await?;
    let (status, key_place) = (client.status(), client.key_place());
    client.close().await;

    let relay = status.relay.map(|url| url.to_string());
    if args.json {
        let key = match key_place {
            KeyPlace::Keychain => "keychain",
            KeyPlace::File => "file",
        };
        return Ok(output::json(&json!({
            "device_id": status.device_id.to_string(),
            "name": status.name.as_str(),
            "relay": relay,
            "home": folder.display().to_string(),
            "key": key,
        }))?);
    }
    anstream::println!("This device is \x1b[1m{}\x1b[0m.", status.name);
    println!("  id      {}", status.device_id);
    println!("  folder  {}", folder.display());
    println!("  relay   {}", relay.as_deref().unwrap_or("none yet; a link brings one"));
    match key_place {
        KeyPlace::Keychain => println!("  key     in this system's keychain"),
        KeyPlace::File => println!(
            "  key     in {}: there is no keychain in use here, so whoever can read that file can read this \
             device's data",
            folder.join("client.key").display()
        ),
    }
    println!("Next: `sync-cli pair --create` to let another device join, or `sync-cli pair --join CODE`.");
    Ok(())
}
