//! `restore`: agrees to push again what the relay has lost.

use anyhow::Result;
use serde_json::json;
use sync_client::SyncClient;

use crate::args::Args;
use crate::{device, output};

pub(crate) async fn run(client: &SyncClient, args: &Args) -> Result<()> {
    // First: that it lost its store again may show only now.
    device::connect(client).await?;
    client.restore().await?;
    device::finish(client).await;
    let pending = client.status().pending_push;
    if args.json {
        return Ok(output::json(&json!({ "pending_push": pending }))?);
    }
    match pending {
        0 => println!("The relay has what this device can give it."),
        pending => println!("{pending} are on their way; the next command sends the rest."),
    }
    Ok(())
}
