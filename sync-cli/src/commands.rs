//! One file for each command.

mod devices;
mod flush;
mod init;
mod pair;
mod pull;
mod push;
mod status;
mod trust_relay;
mod watch;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Args, Command};
use crate::device;

pub(crate) async fn run(args: Args) -> Result<()> {
    match &args.command {
        Command::Init(init) => return init::run(&args, init).await,
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Args::command(), "sync-cli", &mut std::io::stdout());
            return Ok(());
        }
        // Before the device is in use: stdin may take its time.
        Command::Push(push) => return push::run(&args, push).await,
        Command::Pair(_)
        | Command::Pull(_)
        | Command::Watch
        | Command::Status
        | Command::Devices
        | Command::Flush
        | Command::TrustRelay { .. } => {}
    }
    let client = device::open(&args).await?;
    let result = match &args.command {
        Command::Pair(pair) => pair::run(&client, &args, pair).await,
        Command::Pull(pull) => pull::run(&client, &args, pull).await,
        Command::Watch => watch::run(&client, &args).await,
        Command::Status => status::run(&client, &args).await,
        Command::Devices => devices::run(&client, &args).await,
        Command::Flush => flush::run(&client, &args).await,
        Command::TrustRelay { key } => trust_relay::run(&client, &args, *key).await,
        Command::Init(_) | Command::Completions { .. } | Command::Push(_) => Ok(()),
    };
    client.close().await;
    result
}
