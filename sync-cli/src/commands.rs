//! One file for each command.

mod devices;
mod farewell;
mod flush;
mod init;
mod pair;
mod passphrase;
mod pull;
mod push;
mod recovery;
mod remove;
mod restore;
mod status;
mod trust_relay;
mod watch;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Args, Command, Pair, Recovery};
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
        Command::Pair(Pair { passphrase: Some(group), .. }) => return passphrase::run(&args, group).await,
        Command::Recovery(Recovery::Import { file }) => return recovery::import(&args, file).await,
        Command::Wipe(confirmed) => return farewell::wipe(&args, confirmed).await,
        Command::Pair(_)
        | Command::Pull(_)
        | Command::Watch
        | Command::Status
        | Command::Devices
        | Command::Remove(_)
        | Command::Rotate(_)
        | Command::Flush
        | Command::Restore
        | Command::Recovery(Recovery::Export { .. })
        | Command::Leave(_)
        | Command::DeleteGroup(_)
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
        Command::Remove(remove) => remove::remove(&client, &args, remove).await,
        Command::Rotate(rotate) => remove::rotate(&client, &args, rotate).await,
        Command::Restore => restore::run(&client, &args).await,
        Command::Recovery(Recovery::Export { file }) => recovery::export(&client, &args, file).await,
        Command::Leave(confirmed) => farewell::leave(&client, &args, confirmed).await,
        Command::DeleteGroup(confirmed) => farewell::delete_group(&client, &args, confirmed).await,
        Command::Init(_)
        | Command::Completions { .. }
        | Command::Push(_)
        | Command::Wipe(_)
        | Command::Recovery(Recovery::Import { .. }) => Ok(()),
    };
    client.close().await;
    result
}
