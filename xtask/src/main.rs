//! `cargo xtask …`: builds, checks and demonstrates Sync Relay. Nothing here ships.
//!
//! - `cargo xtask ci` runs every check there is, and is all that CI runs.
//! - `cargo xtask wasm` builds the browser's client, as an npm package.
//! - `cargo xtask page` puts the page together that a relay carries, the client included.
//! - `cargo xtask bench-page` measures how long a person waits for it.
//! - `cargo xtask tauri-e2e` drives the example of the Tauri plugin in a real window.
//! - `cargo xtask fuzz` looks for inputs that break something.
//! - `cargo xtask load` shows what a relay bears.
//! - `cargo xtask faults` looks for promises that break when things are killed, cut, wrong or old.
//! - `cargo xtask demo` shows the product working in one terminal and a half.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod assemble;
mod browser;
mod ci;
mod debian;
mod demo;
mod faults;
mod fuzz;
mod laws;
mod load;
mod page;
mod reader;
mod run;
mod tally;
mod tauri;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build, check and demonstrate Sync Relay")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check; ends with a line of counts
    Ci {
        /// Run only these steps, by name
        #[arg(long, value_name = "STEP", value_parser = ci::names())]
        only: Vec<String>,
        /// Run all but these steps
        #[arg(long, value_name = "STEP", value_parser = ci::names())]
        skip: Vec<String>,
    },
    /// Build the browser's client into client-wasm/pkg, and weigh it
    Wasm,
    /// Put the page together that the relay carries, in web-demo/dist
    Page,
    /// Measure how long a person waits for the page, in a browser
    BenchPage,
    /// Drive the example of the Tauri plugin in a real window; SHOTS names a folder for pictures
    TauriE2e,
    /// Look for inputs that break something, with cargo-fuzz and a nightly compiler
    Fuzz(fuzz::Options),
    /// Put a relay under load: idle, stalled, soak or proxy; `--help` after it says more
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
    /// Kill, cut, mislead and set back a relay and its devices, and see whether they keep their promises
    Faults(faults::Options),
    /// Start a relay in a temporary folder and pair a device with it
    Demo {
        /// Play both devices, check what arrives, and exit
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Ci { only, skip } => ci::run(&only, &skip),
        Command::Wasm => page::build_wasm().map(|_| true),
        Command::Page => assemble::build().map(|_| true),
        Command::BenchPage => browser::bench(),
        Command::TauriE2e => tauri::e2e(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Load { args } => load::run(&args),
        Command::Faults(options) => faults::run(&options),
        Command::Demo { check: true } => demo::check().map(|()| true),
        Command::Demo { check: false } => demo::show_and_wait().map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
