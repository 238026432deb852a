//! What runs in processes of its own, so that it can be killed: the relay, and the apps on devices.
//!
//! Each does what it is told by lines on its standard input, says by lines on its standard output how far it
//! has come, and ends when nobody tells it anything any more.

mod app;
mod reader;
mod relay;
mod writer;

use std::io::{BufRead, Write};

use anyhow::Context;
use clap::Subcommand;
use tokio::sync::mpsc;

use crate::wall;

/// A program to be.
#[derive(Debug, Subcommand)]
pub enum Program {
    /// The relay.
    #[command(hide = true)]
    Relay(relay::Options),
    /// An app that pushes.
    #[command(hide = true)]
    Writer(writer::Options),
    /// An app that reads.
    #[command(hide = true)]
    Reader(reader::Options),
}

/// Is that program, until it is killed or told to end.
pub fn run(program: Program) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match program {
            Program::Relay(options) => relay::run(options).await,
            Program::Writer(options) => writer::run(options).await,
            Program::Reader(options) => reader::run(options).await,
        }
    })
}

/// Says something to whoever has started this.
#[expect(clippy::print_stdout, reason = "it is how these programs talk")]
fn say(what: impl std::fmt::Display) {
    println!("{what}");
    let _ = std::io::stdout().flush();
}

/// What is told, line by line; a new time of day is seen to here.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.strip_prefix("clock ").and_then(|ahead| ahead.parse().ok()) {
                Some(ahead) => wall::set_ahead(ahead),
                None if sender.send(line).is_ok() => {}
                None => return,
            }
        }
        // Nobody is left: whoever has started this was perhaps killed.
        std::process::exit(0);
    });
    orders
}

fn logging(filter: &str) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    lines.with_ansi(false).try_init().ok().context("logging is set up twice")
}
