//! `trust-relay`: accepts another key of the relay.

use anyhow::Result;
use serde_json::json;
use sync_client::{RelayKey, SyncClient};

use crate::args::Args;
use crate::output;

pub(crate) async fn run(client: &SyncClient, args: &Args, key: RelayKey) -> Result<()> {
    client.trust_relay(key).await?;
    if args.json {
        return Ok(output::json(&json!({ "relay_key": key.to_string() }))?);
    }
    println!("The relay is trusted with the key {key} from now on.");
    Ok(())
}
