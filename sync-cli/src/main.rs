//! Sync Relay on the command line: one device, for people and for scripts.
//!
//! Thin over `sync-client`: each command opens the device's folder, does one thing, sends what is
//! queued, and ends with an exit code that says whose turn it is.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[allow(rustdoc::bare_urls, reason = "the docs there are help texts, for terminals")]
mod args;
mod blobs;
mod commands;
mod confirm;
mod device;
mod failure;
mod notices;
mod output;
mod secret;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::Args;

/// For tasks that are still saying good-bye.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = Args::parse();
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&error.into()),
    };
    let result = runtime.block_on(commands::run(args));
    runtime.shutdown_timeout(SHUTDOWN);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

/// Logs go to stderr when `SYNC_LOG` asks for them: `SYNC_LOG=debug`, `SYNC_LOG=sync_client=trace`.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SYNC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
