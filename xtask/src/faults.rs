//! `cargo xtask faults`: kills, bad lines, wrong clocks, sleep and old backups, as many as one has time for. The
//! ordinary tests make a short run of each.

use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, line};

/// How much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often to kill; other faults come in proportion
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// What the random moments come from; every run says which it was
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults of this kind: kills, network, clocks, asleep or backup
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
}

/// Runs all suites, also when one finds something; gives whether none did.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut sound = true;
    for mut suite in suites(options) {
        let status = suite.status().with_context(|| line(&suite))?;
        sound &= status.success();
    }
    Ok(sound)
}

/// The programs that look for faults, one after the other. As the tests build them: overflows are noticed.
fn suites(options: &Options) -> Vec<Command> {
    let mut world = cargo(["run", "--quiet", "--package", "sync-faults", "--"]);
    world.arg(format!("--rounds={}", options.rounds));
    world.args(options.seed.map(|seed| format!("--seed={seed}")));
    world.args(options.only.as_ref().map(|kind| format!("--only={kind}")));
    vec![world]
}
