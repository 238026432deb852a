//! `disk-faults`: many power cuts, and what they found.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use sync_faults_disk::{Violation, client, relay};

/// Power cuts of one life.
const CUTS_OF_A_LIFE: u64 = 250;
/// Batches of writes in a relay's life, and things that happen in a client's.
const LENGTH: usize = 160;

/// Power cuts under the databases of relay and client
#[derive(Debug, Parser)]
struct Arguments {
    /// Power cuts in all: half of them under a relay, half under a client
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    cuts: u64,
    /// Where chance begins; what is found is found again with the same
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Only this cut, as a finding names it
    #[arg(long, value_name = "CUT")]
    only: Option<u64>,
}

/// Whose database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Relay,
    Client,
}

/// What was found of one kind.
#[derive(Debug, Default)]
struct Tally {
    cuts: AtomicU64,
    lost: AtomicU64,
    reused: AtomicU64,
    other: AtomicU64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().context("no folder for locks and keys")?;
    let tallies = [Tally::default(), Tally::default()];
    let lives = Mutex::new(lives(&arguments).into_iter());
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(life) = lives.lock().ok().and_then(|mut lives| lives.next()) {
                    let tally = &tallies[usize::from(life.kind == Kind::Client)];
                    if let Err(error) = life.run(folder.path(), tally) {
                        eprintln!("error: {error:#}");
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let [relay, client] = &tallies;
    println!("relay: {}", relay.line("acknowledged pushes lost", "cursors reused"));
    println!("client: {}", client.line("stored rows or pushes lost", "places in a chain reused"));
    let clean = tallies.iter().all(Tally::is_clean) && !failed.into_inner();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Some cuts of one life.
#[derive(Debug)]
struct Share {
    kind: Kind,
    seed: u64,
    cuts: std::ops::Range<u64>,
}

fn lives(arguments: &Arguments) -> Vec<Share> {
    let all = match arguments.only {
        Some(only) => only..only + 1,
        None => 0..arguments.cuts,
    };
    // One after the other of each kind, so that both threads end at the same time.
    let mut shares: Vec<Share> = Vec::new();
    for cut in all {
        let (kind, number) =
            (if cut % 2 == 0 { Kind::Relay } else { Kind::Client }, cut / 2 / CUTS_OF_A_LIFE);
        let seed = arguments.seed.wrapping_mul(1_000_003).wrapping_add(number);
        match shares.iter_mut().rev().take(2).find(|share| share.kind == kind && share.seed == seed) {
            Some(share) => share.cuts.end = cut + 1,
            None => shares.push(Share { kind, seed, cuts: cut..cut + 1 }),
        }
    }
    shares
}

impl Share {
    fn run(&self, folder: &Path, tally: &Tally) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match self.kind {
                Kind::Relay => {
                    let settings = relay::Settings { seed: self.seed, batches: LENGTH, plant: None };
                    let life = relay::Life::lived(folder, settings).await.with_context(|| self.name())?;
                    for cut in self.cuts.clone().step_by(2) {
                        let again = cut % 8 == 0;
                        tally.note(self, cut, life.cut(folder, relay::Cut { seed: cut, again }).await);
                    }
                }
                Kind::Client => {
                    let settings = client::Settings { seed: self.seed, steps: LENGTH, plant: None };
                    let life = client::Life::lived(folder, settings).await.with_context(|| self.name())?;
                    for cut in self.cuts.clone().step_by(2) {
                        tally.note(self, cut, life.cut(folder, cut).await);
                    }
                }
            }
            Ok(())
        })
    }

    fn name(&self) -> String {
        format!("{:?}, cuts {:?}, without a power cut", self.kind, self.cuts)
    }
}

impl Tally {
    fn note(&self, share: &Share, cut: u64, result: Result<(), Violation>) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        let Err(found) = result else { return };
        eprintln!("{:?}, cut {cut} (repeat with the same --seed and --only {cut}): {found}", share.kind);
        let counter = match found {
            Violation::LostPush { .. }
            | Violation::OtherPush { .. }
            | Violation::LostRows(_)
            | Violation::LostOutbox(_) => &self.lost,
            Violation::ReusedCursor { .. } | Violation::BrokenChain(_) => &self.reused,
            Violation::WontOpen(_)
            | Violation::Damaged(_)
            | Violation::Stops(_)
            | Violation::CursorGap { .. }
            | Violation::LostAck { .. }
            | Violation::LostRotation { .. }
            | Violation::Revived { .. }
            | Violation::NeverWritten => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn line(&self, lost: &str, reused: &str) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let others = match of(&self.other) {
            0 => String::new(),
            n => format!(", {n} other findings"),
        };
        format!(
            "{} power cuts, {} {lost}, {} {reused}{others}",
            of(&self.cuts),
            of(&self.lost),
            of(&self.reused)
        )
    }

    fn is_clean(&self) -> bool {
        [&self.lost, &self.reused, &self.other].iter().all(|counter| counter.load(Ordering::Relaxed) == 0)
    }
}
