//! `cargo xtask load`: puts a relay, as it is released, under load.

use std::process::Command;

use anyhow::Result;

use crate::run::{cargo, show, target_dir};

/// Builds the relay and what loads it, and runs that with as many open files as the system allows.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let release = ["build", "--quiet", "--release"];
    show(cargo(release).args(["--package", "sync-relay", "--package", "sync-load", "--bins"]))?;
    let programs = target_dir()?.join("release");
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" --relay \"$@\""]);
    command.arg(programs.join("sync-load")).arg(programs.join("sync-relay")).args(args);
    show(&mut command).map(|()| true)
}
