//! `pull`: what the others sent and this device has not read, or any part of the log.

use anyhow::Result;
use sync_client::{Cursor, Page, SyncClient};

use crate::args::{Args, Pull};
use crate::blobs::{Form, Sink};
use crate::{device, output};

/// Blobs asked for at once.
const PAGE: u32 = 500;
/// From so many blobs on a bar is shown.
const LONG: u64 = 200;

pub(crate) async fn run(client: &SyncClient, args: &Args, pull: &Pull) -> Result<()> {
    device::connect(client).await?;
    let form = if args.json { Form::list() } else { Form::Text };
    let mut sink = Sink::new(form, pull.output.as_deref())?;
    let mut position = pull.after_cursor.unwrap_or_else(|| client.status().last_cursor);
    let pulled = read(client, pull, &mut sink, &mut position).await;
    match pulled {
        Ok(has_more) => sink.finish(position.get(), has_more)?,
        // What has been written is the reader's, and will not be shown again.
        Err(_) if sink.is_open() => sink.finish(position.get(), true)?,
        Err(_) => {}
    }
    pulled.map(|_| ())
}

/// Writes one page after the other; gives whether there is more.
async fn read(client: &SyncClient, pull: &Pull, sink: &mut Sink, position: &mut Cursor) -> Result<bool> {
    let start = *position;
    let total = client.status().max_cursor.get().saturating_sub(start.get());
    let bar = (total > LONG && !output::is_terminal()).then(|| output::progress(total, "pulling"));
    let mut remaining = pull.limit;
    let has_more = loop {
        let limit = remaining.map_or(PAGE, |left| left.min(PAGE));
        let page = match pull.after_cursor {
            Some(_) => client.pull(*position, limit).await?,
            None => client.pull_since_last_cursor(limit).await?,
        };
        sink.write(&page.blobs)?;
        let stuck = is_stuck(&page, *position);
        *position = (*position).max(page.max_cursor);
        if pull.after_cursor.is_none() {
            // What is on stdout is the reader's.
            client.ack(page.max_cursor).await?;
        }
        if let Some(bar) = &bar {
            bar.set_position(position.get().saturating_sub(start.get()));
        }
        if let Some(left) = &mut remaining {
            *left = left.saturating_sub(u32::try_from(page.blobs.len()).unwrap_or(u32::MAX));
        }
        if !page.has_more || remaining == Some(0) || stuck {
            break page.has_more;
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(has_more)
}

/// Whether a page brought nothing and led nowhere: asking again would be for ever.
fn is_stuck(page: &Page, position: Cursor) -> bool {
    page.blobs.is_empty() && page.max_cursor <= position
}
