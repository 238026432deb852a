//! `watch`: prints what the others send, as it comes.

use anyhow::Result;
use sync_client::{Error, Event, SyncClient};

use crate::args::Args;
use crate::blobs::{Form, Sink};
use crate::{device, output};

pub(crate) async fn run(client: &SyncClient, args: &Args) -> Result<()> {
    let mut events = client.subscribe();
    let mut sink = Sink::new(if args.json { Form::JsonLines } else { Form::Text }, None)?;
    match client.connect().await {
        Ok(()) if client.status().group_id.is_none() => return Err(Error::NoGroup.into()),
        Ok(()) => {}
        Err(error) if device::may_pass(&error) => output::note(&format!("{error}; trying again")),
        Err(error) => return Err(error.into()),
    }
    // What came before the first event.
    drain(client, &mut sink).await?;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match event {
            Some(Event::Connected | Event::BlobAvailable { .. }) => drain(client, &mut sink).await?,
            Some(Event::Disconnected { stopped: Some(reason) }) => return Err(Error::from(reason).into()),
            Some(Event::DeviceJoined { name, platform, .. }) => {
                output::note(&format!(
                    "{} ({}) joined",
                    output::harmless(name.as_str()),
                    output::harmless(&platform)
                ));
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// Prints everything that is there; a lost connection only means that there is nothing now.
async fn drain(client: &SyncClient, sink: &mut Sink) -> Result<()> {
    loop {
        let page = match client.pull_since_last_cursor(0).await {
            Ok(page) => page,
            Err(error) if device::may_pass(&error) => return Ok(()),
            Err(Error::NotConnected | Error::RelayReset) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        sink.write(&page.blobs)?;
        client.ack(page.max_cursor).await?;
        if !page.has_more || page.blobs.is_empty() {
            return Ok(());
        }
    }
}
