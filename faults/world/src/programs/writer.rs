//! An app that pushes without pause, and writes down what it was promised.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sync_client::{BlobId, Cursor, Error, Event, SyncClient};

use super::app::{self, PATIENCE, alarm};
use super::say;
use crate::item::{Item, WriterNo};
use crate::journal::{self, Entry, Journal};

/// Most pushes that wait for the relay. A full outbox would take long to empty after the last fault.
const WINDOW: usize = 48;

/// What a writer is told at its start.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    app: app::AppOptions,
    #[arg(long)]
    number: WriterNo,
    /// How long the relay shall keep what is pushed, in seconds; without it, as long as it does by itself.
    #[arg(long)]
    keep: Option<u64>,
}

/// How much is still to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Push(u64),
    Load,
}

/// What became of an item that was pushed.
type Settled = (u64, BlobId, Result<Cursor, Error>);

struct Writer {
    client: SyncClient,
    journal: Journal,
    marker: String,
    number: WriterNo,
    keep: Option<Duration>,
    /// The number of the last item that was tried, also in an earlier life.
    last: u64,
    acked: u64,
    waiting: FuturesUnordered<BoxFuture<'static, Settled>>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let (before, _) = journal::read(&options.app.journal, 0)?;
    let tried = before.iter().filter_map(|entry| if let Entry::Try(n) = entry { Some(*n) } else { None });
    let last = tried.max().unwrap_or(0);
    let (client, journal) = app::start(&options.app).await?;
    let (mut orders, mut events) = (app::orders(&client), client.subscribe());
    let mut writer = Writer {
        client,
        journal,
        marker: options.app.marker,
        number: options.number,
        keep: options.keep.map(Duration::from_secs),
        last,
        acked: 0,
        waiting: FuturesUnordered::new(),
    };
    say("ready");
    let (mut task, mut drain) = (Task::Push(0), false);
    loop {
        let wants = task != Task::Push(0) && writer.waiting.len() < WINDOW;
        if drain && task == Task::Push(0) && writer.waiting.is_empty() && writer.is_empty().await {
            say("drained");
            drain = false;
        }
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match order.split_once(' ') {
                Some(("push", count)) => (task, drain) = (Task::Push(count.parse()?), true),
                _ if order == "load" => (task, drain) = (Task::Load, false),
                _ if order == "drain" => (task, drain) = (Task::Push(0), true),
                _ => anyhow::bail!("a writer cannot {order}"),
            },
            Some(event) = events.next() => writer.note(&event)?,
            Some((number, blob, result)) = writer.waiting.next() => writer.acked(number, blob, result)?,
            // In here: a push must not be given up halfway.
            () = std::future::ready(()), if wants => {
                writer.push().await?;
                if let Task::Push(left) = &mut task {
                    *left -= 1;
                }
            }
        }
    }
}

impl Writer {
    async fn push(&mut self) -> anyhow::Result<()> {
        self.last += 1;
        let item = Item { writer: self.number, number: self.last };
        self.journal.write(&[Entry::Try(item.number)])?;
        let receipt = self.client.push_for(item.text(&self.marker), self.keep).await?;
        let blob = receipt.blob_id();
        self.journal.write(&[Entry::Queued(item.number, blob)])?;
        say(format_args!("queued {}", item.number));
        self.waiting.push(Box::pin(async move { (item.number, blob, receipt.acked().await) }));
        Ok(())
    }

    fn acked(&mut self, number: u64, blob: BlobId, result: Result<Cursor, Error>) -> anyhow::Result<()> {
        match result {
            Ok(cursor) => self.journal.write(&[Entry::Acked(number, blob, cursor)])?,
            Err(error) => self.journal.write(&[Entry::Alarm(format!("item {number}: {error}"))])?,
        }
        self.acked += 1;
        say(format_args!("acked {}", self.acked));
        Ok(())
    }

    fn note(&mut self, event: &Event) -> anyhow::Result<()> {
        if *event == Event::RelayReset {
            say("reset");
        }
        if matches!(event, Event::PresenceChanged { online: true, .. }) {
            say("sees");
        }
        if let Some(entry) = alarm(event) {
            self.journal.write(&[entry])?;
        }
        Ok(())
    }

    /// Whether the relay has everything, what was pushed in an earlier life included.
    async fn is_empty(&self) -> bool {
        self.client.flush(PATIENCE).await.is_ok()
    }
}
