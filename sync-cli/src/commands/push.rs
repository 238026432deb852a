//! `push`: seals, queues, and sends when the relay is there.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sync_client::{Cursor, Error, Event, Events, PushReceipt, SyncClient};
use tokio::time::sleep;

use crate::args::{Args, Push};
use crate::{device, output};

/// How long to wait while the relay is there: long enough for its rate limit to let a push through.
const PATIENCE: Duration = Duration::from_secs(90);
/// More than any blob holds: what is longer need not be read to its end to be refused.
const MAX_READ: u64 = 64 * 1024 * 1024;

pub(crate) async fn run(args: &Args, push: &Push) -> Result<()> {
    let data = read(push)?;
    let client = device::open(args).await?;
    let result = send(&client, args, data).await;
    client.close().await;
    result
}

fn read(push: &Push) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    match (&push.text, &push.file) {
        (_, Some(path)) => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            file.take(MAX_READ).read_to_end(&mut data).with_context(|| path.display().to_string())?;
        }
        (Some(text), None) if text == "-" => {
            io::stdin().lock().take(MAX_READ).read_to_end(&mut data).context("stdin")?;
        }
        (text, None) => data.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes()),
    }
    Ok(data)
}

async fn send(client: &SyncClient, args: &Args, data: Vec<u8>) -> Result<()> {
    let mut events = client.subscribe();
    let receipt = client.push(data).await?;
    let blob_id = receipt.blob_id();
    let spinner = output::spinner("waiting for the relay");
    let result = wait(client, &mut events, receipt).await;
    spinner.finish_and_clear();
    match result {
        Ok(cursor) if args.json => {
            output::json(&json!({ "blob_id": blob_id.to_string(), "cursor": cursor.get() }))?;
        }
        Ok(cursor) => println!("stored at cursor {cursor}"),
        Err(error) if matches!(&error, Error::Refused { .. }) && client.status().stopped.is_none() => {
            return Err(error.into());
        }
        Err(error) => {
            if args.json {
                output::json(&json!({ "blob_id": blob_id.to_string(), "cursor": null, "queued": true }))?;
            } else {
                println!("queued; the next command sends it");
            }
            if !device::may_pass(&error) {
                return Err(error.into());
            }
            output::note(&error.to_string());
        }
    }
    Ok(())
}

/// Waits until the relay has it, or will not have it soon.
async fn wait(client: &SyncClient, events: &mut Events, receipt: PushReceipt) -> Result<Cursor, Error> {
    client.connect().await?;
    tokio::select! {
        acked = receipt.acked() => acked,
        error = gone(client, events) => Err(error),
        error = device::held_up(client) => Err(error),
        () = sleep(PATIENCE) => Err(Error::TimedOut),
    }
}

/// Ends when the connection does.
async fn gone(client: &SyncClient, events: &mut Events) -> Error {
    loop {
        match events.next().await {
            Some(Event::Disconnected { stopped: Some(reason) }) => return reason.into(),
            Some(Event::Disconnected { stopped: None }) => return Error::Unreachable(client.status().relay),
            Some(Event::RelayFull { code, message }) => {
                return Error::Refused { code: Some(code), message };
            }
            Some(_) => {}
            None => return Error::Closed,
        }
    }
}
