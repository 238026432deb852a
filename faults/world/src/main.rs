//! The fault suite on the command line, and the programs that it kills.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{Args, Parser};
use sync_faults::programs::{self, Program};
use sync_faults::suite::{self, Kind};

/// Looks whether Sync Relay keeps its promises through kills, bad lines, wrong clocks, sleep and old backups.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    program: Option<Program>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// How often to kill; other faults come in proportion
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// What the random moments come from; a run with the same seed does the same, as far as processes can
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults of this kind
    #[arg(long)]
    only: Option<Kind>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.program {
        Some(program) => programs::run(program),
        None => run(cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Options { rounds, seed, only }: Options) -> anyhow::Result<()> {
    let seed = seed.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()));
    println!("seed {seed}");
    let program = std::env::current_exe()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(suite::run(&program, seed, rounds, only));
    println!("{}", figures.map_err(|error| error.context(format!("with --seed {seed}")))?);
    Ok(())
}
