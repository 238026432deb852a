//! An app that reads what the others push, and writes it down before it says that it has it.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt;
use sync_client::{Cursor, Event, Events, Page, SyncClient};
use tokio::time::sleep;

use super::app::{self, alarm};
use super::say;
use crate::item::{Item, WriterNo};
use crate::journal::{Entry, Journal};

/// How long it takes to write with the planted fault.
const SLOW_DISK: Duration = Duration::from_millis(20);

/// What a reader is told at its start.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    app: app::AppOptions,
    /// Blobs of a page at most; 0: as many as the client likes.
    #[arg(long, default_value_t = 0)]
    limit: u32,
    /// A planted fault: says that it has a page before it has written it down.
    #[arg(long)]
    acks_first: bool,
}

struct Reader {
    client: SyncClient,
    journal: Journal,
    events: Events,
    marker: String,
    acks_first: bool,
    has: Cursor,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let (client, journal) = app::start(&options.app).await?;
    let _nothing_of_its_own = app::orders(&client);
    let (events, has) = (client.subscribe(), Cursor::ZERO);
    let mut reader =
        Reader { client, journal, events, marker: options.app.marker, acks_first: options.acks_first, has };
    say("ready");
    loop {
        let asked = reader.client.pull_since_last_cursor(options.limit).await;
        let more = match asked {
            Ok(page) => reader.take(&page).await?,
            // Not now: an event will say when.
            Err(_) => false,
        };
        let events: Vec<Event> =
            if more { Vec::new() } else { reader.events.next().await.into_iter().collect() };
        for event in events.into_iter().chain(std::iter::from_fn(|| reader.events.next().now_or_never()?)) {
            if event == Event::RelayReset {
                say("reset");
                reader.has = Cursor::ZERO;
            }
            if let Some(entry) = alarm(&event) {
                reader.journal.write(&[entry])?;
            }
        }
    }
}

impl Reader {
    /// Writes a page down, then says that it has it; gives whether there is more.
    async fn take(&mut self, page: &Page) -> anyhow::Result<bool> {
        let mut newest: BTreeMap<WriterNo, u64> = BTreeMap::new();
        let mut took = Vec::new();
        for blob in &page.blobs {
            let item = Item::read(&self.marker, &blob.data);
            newest.extend(item.map(|item| (item.writer, item.number)));
            took.push(Entry::Took(blob.blob_id, blob.cursor, item));
        }
        if !self.acks_first {
            self.journal.write(&took)?;
        }
        if page.max_cursor > self.has {
            self.client.ack(page.max_cursor).await?;
            self.has = page.max_cursor;
            self.journal.write(&[Entry::Has(page.max_cursor)])?;
        }
        if self.acks_first {
            sleep(SLOW_DISK).await;
            self.journal.write(&took)?;
        }
        for (writer, number) in newest {
            say(format_args!("took {writer} {number}"));
        }
        Ok(page.has_more)
    }
}
