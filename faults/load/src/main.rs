//! What a relay bears. Real programs, real sockets, the real engine in every device; the devices' stores alone
//! are in memory. Prints figures, and fails when a bound is broken: `cargo xtask load`.
#![allow(clippy::print_stdout)]

mod device;
mod idle;
mod proxy;
mod relay;
mod soak;
mod stalled;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Put a relay under load, and see what it bears")]
struct Args {
    /// The relay's program
    #[arg(long, value_name = "FILE")]
    relay: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Idle sessions: memory of each, and how they come back when the relay was killed
    Idle {
        #[arg(long, default_value_t = 10_000)]
        sessions: usize,
    },
    /// Members that read nothing and strangers that say nothing, while two members go on
    Stalled {
        #[arg(long, default_value_t = 1_000)]
        readers: usize,
        #[arg(long, default_value_t = 2_000)]
        strangers: usize,
        #[arg(long, default_value_t = 2_000)]
        pushes: usize,
    },
    /// A mixed load with expiry, devices that leave and groups that are deleted: memory and disk level off
    Soak {
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// Behind nginx, which cuts what is silent for 100 s: an idle session survives, and clients are told apart
    Proxy {
        #[arg(long, default_value_t = 5)]
        minutes: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { relay, what } = Args::parse();
    let result = match what {
        What::Idle { sessions } => idle::run(&relay, sessions).await,
        What::Stalled { readers, strangers, pushes } => {
            stalled::run(&relay, readers, strangers, pushes).await
        }
        What::Soak { minutes } => soak::run(&relay, minutes).await,
        What::Proxy { minutes } => proxy::run(&relay, minutes).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
