//! `cargo xtask demo`: the product working, with nothing installed and nothing left behind.

mod relay;
mod script;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::run::{cargo, show, target_dir};
use relay::Relay;

pub(crate) use script::check;

/// Plays the first device in this terminal, and says what to type in a second one.
pub(crate) fn show_and_wait() -> Result<()> {
    let stage = Stage::set()?;
    let (stop, stopped) = mpsc::channel();
    // Ctrl-C reaches the children, too; this program stays to clear up after them.
    ctrlc::set_handler(move || stop.send(()).unwrap_or_default()).context("cannot wait for Ctrl-C")?;

    let url = stage.relay.url();
    println!("A relay is running at {url} in {}.", stage.folder.path().display());
    stage.first().args(["init", "--name", "First device", "--relay", &url]).status()?;
    println!("\nIn a second terminal, type these (CODE is the one below):\n");
    let second = format!("SYNC_KEYCHAIN=off {} --home {}", stage.cli.display(), stage.home("second").display());
    println!("    alias second='{second}'");
    println!("    second init --name 'Second device' --relay {url}");
    println!("    second pair --join CODE");
    println!("    second push 'Hello from the second device'");
    println!("    second pull\n");
    stage.first().args(["pair", "--create"]).status()?;
    if stopped.try_recv().is_err() {
        stage.first().args(["push", "Hello from the first device"]).status()?;
        println!(
            "\nWhat the second device pushes appears here. Ctrl-C ends the demo and removes its folder."
        );
        stage.first().arg("watch").status()?;
    }
    println!("\nThe demo is over.");
    Ok(())
}

/// A relay that is running, and a folder for all that it and the devices keep.
#[derive(Debug)]
struct Stage {
    /// Before the folder, so that it has stopped when the folder goes.
    relay: Relay,
    folder: tempfile::TempDir,
    cli: PathBuf,
}

impl Stage {
    fn set() -> Result<Self> {
        println!("Building the relay and the command line …");
        show(&mut cargo(["build", "--quiet", "--package", "sync-relay", "--package", "sync-cli", "--bins"]))?;
        let built = target_dir()?.join("debug");
        let folder = tempfile::Builder::new().prefix("sync-relay-demo-").tempdir()?;
        let relay = Relay::start(&built.join("sync-relay"), folder.path())?;
        Ok(Self { relay, folder, cli: built.join("sync-cli") })
    }

    fn home(&self, device: &str) -> PathBuf {
        self.folder.path().join(device)
    }

    fn first(&self) -> Command {
        device(&self.cli, &self.home("first"))
    }
}

/// The command line of one device.
fn device(cli: &Path, home: &Path) -> Command {
    let mut command = Command::new(cli);
    // A demo leaves nothing behind, in the keychain neither.
    command.env_remove("SYNC_HOME").env("SYNC_KEYCHAIN", "off").arg("--home").arg(home);
    command
}
