//! `cargo xtask demo`: the product working, with nothing installed and nothing left behind.

mod relay;
mod script;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::assemble;
use crate::run::{self, cargo, show, target_dir};
use relay::Relay;

pub(crate) use script::check;

/// Plays the first device in this terminal, and says what to type in a second one.
pub(crate) fn show_and_wait() -> Result<()> {
    let stage = Stage::set()?;
    let stop = Stop::listen()?;
    let url = stage.relay.url();
    println!("A relay is running at {url} in {}.", stage.folder.path().display());
    let mut init = stage.first();
    run::output(init.args(["init", "--name", "First device", "--relay", &url]))?;
    if stage.page {
        println!("\nOpen the link below in a browser, and press Join.");
    }
    println!("\nIn a second terminal, type these (CODE is the one below):\n");
    let second =
        format!("SYNC_KEYCHAIN=off {} --home {}", stage.cli.display(), stage.home("second").display());
    println!("    alias second='{second}'");
    println!("    second init --name 'Second device' --relay {url}");
    println!("    second pair --join CODE");
    println!("    second push 'Hello from the second device'");
    println!("    second pull\n");
    if stop.wait_for(stage.first().args(["pair", "--create"]))? {
        stop.wait_for(stage.first().args(["push", "Hello from the first device"]))?;
        println!(
            "\nWhat the second device pushes appears here. Ctrl-C ends the demo and removes its folder."
        );
        stop.wait_for(stage.first().arg("watch"))?;
    }
    println!("\nThe demo is over.");
    Ok(())
}

/// Ctrl-C, or the end of the terminal. It reaches the children, too; this program stays to clear up.
struct Stop(mpsc::Receiver<()>);

impl Stop {
    fn listen() -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let handler = move || stop.send(()).unwrap_or_default();
        ctrlc::set_handler(handler).context("cannot wait for Ctrl-C")?;
        Ok(Self(stopped))
    }

    /// Runs a command of the first device to its end, or to the end of the demo; gives whether the
    /// demo goes on.
    fn wait_for(&self, command: &mut Command) -> Result<bool> {
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be started", run::line(command)))?;
        while child.try_wait()?.is_none() {
            if self.0.recv_timeout(Duration::from_millis(100)).is_ok() {
                // It has heard, too, and may have something to say before it ends.
                std::thread::sleep(Duration::from_secs(1));
                drop(child.kill());
                child.wait()?;
                return Ok(false);
            }
        }
        Ok(self.0.try_recv().is_err())
    }
}

/// A relay that is running, and a folder for all that it and the devices keep.
#[derive(Debug)]
struct Stage {
    /// Before the folder, so that it has stopped when the folder goes.
    relay: Relay,
    folder: tempfile::TempDir,
    cli: PathBuf,
    /// Whether the relay has its page, which needs more than Rust to build.
    page: bool,
}

impl Stage {
    fn set() -> Result<Self> {
        println!("Building the page, the relay and the command line …");
        let page =
            assemble::build().inspect_err(|error| println!("The relay has no page: {error:#}")).is_ok();
        show(&mut cargo(["build", "--quiet", "--package", "sync-relay", "--package", "sync-cli", "--bins"]))?;
        let built = target_dir()?.join("debug");
        let folder = tempfile::Builder::new().prefix("sync-relay-demo-").tempdir()?;
        let relay = Relay::start(&built.join("sync-relay"), folder.path())?;
        Ok(Self { relay, folder, cli: built.join("sync-cli"), page })
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
