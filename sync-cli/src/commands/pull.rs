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
    let form = if args.json { Form::JsonList { begun: false } } else { Form::Text };
    let mut sink = Sink::new(form, pull.output.as_deref())?;
    let status = client.status();
    let start = pull.after_cursor.unwrap_or(status.last_cursor);
    let total = status.max_cursor.get().saturating_sub(start.get());
    let bar = (total > LONG && !output::is_terminal()).then(|| output::progress(total, "pulling"));

    let mut position = start;
    let mut remaining = pull.limit;
    let has_more = loop {
        let limit = remaining.map_or(PAGE, |left| left.min(PAGE));
        let page = match pull.after_cursor {
            Some(_) => client.pull(position, limit).await?,
            None => client.pull_since_last_cursor(limit).await?,
        };
        sink.write(&page.blobs)?;
        if pull.after_cursor.is_none() {
            // What is on stdout is the reader's.
            client.ack(page.max_cursor).await?;
        }
        let stuck = is_stuck(&page, position);
        position = position.max(page.max_cursor);
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
    Ok(sink.finish(position.get(), has_more)?)
}

/// Whether a page brought nothing and led nowhere: asking again would be for ever.
fn is_stuck(page: &Page, position: Cursor) -> bool {
    page.blobs.is_empty() && page.max_cursor <= position
}
