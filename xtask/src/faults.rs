//! `cargo xtask faults`: kills, bad lines, wrong clocks, sleep, old backups and power cuts, as many as one has time
//! for. The ordinary tests make a short run of each.

use std::process::Command;

use anyhow::{Context, Result};

use crate::debian;
use crate::run::{cargo, line};

/// The kind that is a program of its own: the real SQLite on a disk that loses what was not made durable.
const POWER: &str = "power";
/// Power cuts for each kill, half of them under the relay's database and half under the client's.
const CUTS: u64 = 40;

/// How much of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often to kill; other faults come in proportion, power cuts forty times as often
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// What the random moments come from; every run says which it was
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults of this kind: kills, network, clocks, asleep, backup or power
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
}

/// Runs all suites, also when one finds something; gives whether none did.
pub(crate) fn run(options: &Options) -> Result<bool> {
    debian::ensure_libclang()?;
    let mut sound = true;
    for mut suite in suites(options) {
        let status = suite.status().with_context(|| line(&suite))?;
        sound &= status.success();
    }
    Ok(sound)
}

/// The programs that look for faults, one after the other. Processes are built as for the tests: overflows are
/// noticed. Power cuts are so many that they are built for speed.
fn suites(options: &Options) -> Vec<Command> {
    let mut world = cargo(["run", "--quiet", "--package", "sync-faults", "--"]);
    world.arg(format!("--rounds={}", options.rounds));
    world.args(options.seed.map(|seed| format!("--seed={seed}")));
    world.args(options.only.as_ref().map(|kind| format!("--only={kind}")));
    let mut power = cargo(["run", "--quiet", "--release", "--package", "sync-faults-disk", "--"]);
    power.arg(format!("--cuts={}", options.rounds * CUTS));
    power.args(options.seed.map(|seed| format!("--seed={seed}")));
    match options.only.as_deref() {
        None => vec![world, power],
        Some(POWER) => vec![power],
        Some(_) => vec![world],
    }
}
