//! The faults, one kind a module.

pub mod asleep;
pub mod backup;
pub mod clocks;
pub mod kills;
pub mod network;
pub mod plants;

mod figures;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

pub use figures::Figures;

/// Rounds for which one bad end of a connection is brought about.
const ROUNDS_PER_LINE: u64 = 2;
/// Rounds for which one relay goes back to an old copy, in each way.
const ROUNDS_PER_COPY: u64 = 100;

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Relay and apps are killed.
    Kills,
    /// Lines are cut, slow, torn and doubled.
    Network,
    /// Clocks are a year off.
    Clocks,
    /// Machines sleep for hours.
    Asleep,
    /// Relays go back to an old copy.
    Backup,
}

/// Runs the kinds one after the other, and says how each ended; fails with the first promise that was not kept.
#[expect(clippy::print_stdout, reason = "somebody waits")]
pub async fn run(program: &Path, seed: u64, rounds: u64, only: Option<Kind>) -> Result<Figures> {
    let mut figures = Figures::default();
    for kind in Kind::value_variants().iter().filter(|kind| only.is_none_or(|only| only == **kind)) {
        let start = Instant::now();
        let more = run_kind(program, *kind, seed, rounds).await.with_context(|| format!("{kind:?}"))?;
        println!("{:8} {:>5.0} s  {more}", format!("{kind:?}"), start.elapsed().as_secs_f64());
        figures += more;
    }
    Ok(figures)
}

async fn run_kind(program: &Path, kind: Kind, seed: u64, rounds: u64) -> Result<Figures> {
    let mut figures = Figures::default();
    match kind {
        Kind::Kills => {
            for block in 0..rounds.div_ceil(kills::BLOCK) {
                let rounds = kills::BLOCK.min(rounds - block * kills::BLOCK);
                let block_seed = seed.wrapping_add(block);
                let done = kills::run(program, block_seed, rounds).await;
                let done = done.with_context(|| format!("the block of --only kills --seed {block_seed}"))?;
                figures +=
                    Figures { rounds, kills: done.relays + done.apps, sums: done.sums, ..Figures::default() };
            }
        }
        Kind::Network => {
            let done = network::run(program, seed, rounds.div_ceil(ROUNDS_PER_LINE)).await?;
            figures = Figures { cuts: done.ended, doubled: done.doubled, sums: done.sums, ..figures };
        }
        Kind::Clocks => figures = Figures { clocks: 8, sums: clocks::run(program).await?, ..figures },
        Kind::Asleep => figures = Figures { sleeps: 2, sums: asleep::run(program, seed).await?, ..figures },
        Kind::Backup => {
            for _ in 0..rounds.div_ceil(ROUNDS_PER_COPY) {
                for way in [backup::Way::Restore, backup::Way::RawCopy] {
                    figures +=
                        Figures { copies: 1, sums: backup::run(program, way).await?, ..Figures::default() };
                }
            }
        }
    }
    Ok(figures)
}
