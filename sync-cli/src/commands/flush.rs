//! `flush`: sends what is queued.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use sync_client::{Error, Event, SyncClient};
use tokio::time::sleep;

use crate::args::Args;
use crate::{device, output};

/// Without any progress for this long, the command gives up.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn run(client: &SyncClient, args: &Args) -> Result<()> {
    let queued = client.status().pending_push;
    if queued > 0 {
        send(client, queued).await?;
    }
    if args.json {
        let pending = client.status().pending_push;
        return Ok(output::json(
            &json!({ "sent": queued.saturating_sub(pending), "pending_push": pending }),
        )?);
    }
    println!("{}", if queued == 0 { "nothing was queued".to_owned() } else { format!("sent {queued}") });
    Ok(())
}

async fn send(client: &SyncClient, queued: usize) -> Result<(), Error> {
    let mut events = client.subscribe();
    client.connect().await?;
    let bar = output::progress(u64::try_from(queued).unwrap_or(u64::MAX), "sending");
    let held_up = device::held_up(client);
    tokio::pin!(held_up);
    loop {
        let pending = client.status().pending_push;
        bar.set_position(u64::try_from(queued.saturating_sub(pending)).unwrap_or(u64::MAX));
        if pending == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Disconnected { stopped: Some(reason) }) => return Err(reason.into()),
                Some(Event::Disconnected { stopped: None }) => {
                    return Err(Error::Unreachable(client.status().relay));
                }
                Some(Event::RelayFull { code, message }) => {
                    return Err(Error::Refused { code: Some(code), message });
                }
                Some(Event::PushRejected { code, .. }) => {
                    return Err(Error::Refused { code: Some(code), message: code.to_string() });
                }
                Some(_) => {}
                None => return Err(Error::Closed),
            },
            error = &mut held_up => return Err(error),
            () = sleep(PATIENCE) => return Err(Error::TimedOut),
        }
    }
}
