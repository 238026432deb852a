//! The fault suite, and the programs that it kills.

use clap::{Parser, Subcommand};
use sync_faults::programs::{self, Program};

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Program(Program),
    Kills {
        rounds: u64,
        seed: u64,
    },
    Other {
        kind: String,
        seed: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Program(program) => programs::run(program),
        Command::Kills { rounds, seed } => {
            let runtime = tokio::runtime::Runtime::new()?;
            let start = std::time::Instant::now();
            let done =
                runtime.block_on(sync_faults::suite::kills::run(&std::env::current_exe()?, seed, rounds))?;
            println!("{done:?} {:?}", start.elapsed());
            Ok(())
        }
        Command::Other { kind, seed } => {
            use sync_faults::suite::*;
            let runtime = tokio::runtime::Runtime::new()?;
            let start = std::time::Instant::now();
            let p = std::env::current_exe()?;
            runtime.block_on(async {
                match kind.as_str() {
                    "network" => println!("{:?}", network::run(&p, seed, 60).await?),
                    "asleep" => println!("{:?}", asleep::run(&p, seed).await?),
                    "restore" => println!("{:?}", backup::run(&p, backup::Way::Restore).await?),
                    "raw" => println!("{:?}", backup::run(&p, backup::Way::RawCopy).await?),
                    "clocks" => println!("{:?}", clocks::run(&p).await?),
                    "p1" => println!("{:?}", plants::ack_before_commit(&p).await?),
                    "p2" => println!("{:?}", plants::reused_cursor(&p).await?),
                    "p3" => println!("{:?}", plants::dropped_outbox_row(&p).await?),
                    "p4" => println!("{:?}", plants::ack_before_journal(&p).await?),
                    _ => {}
                }
                anyhow::Ok(())
            })?;
            println!("{:?}", start.elapsed());
            Ok(())
        }
    }
}
