//! `sync-relay`: runs the relay until it is told to stop, and what its operator needs besides.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sync_relay::{Config, ConfigError};

/// A self-hosted relay that keeps devices in sync and can read nothing of theirs.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: commands::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay (also without saying so)
    Serve(commands::Serve),
    /// Read the settings, say what is wrong with them or what they mean, and do nothing else
    CheckConfig(Settings),
    /// Copy the database into a new FILE and check the copy; the relay may run meanwhile
    Backup {
        #[command(flatten)]
        settings: Settings,
        /// The file to make. It holds the relay's secret key: keep it as safe as the database
        file: PathBuf,
    },
    /// Put a copy in the database's place; the relay must not run
    Restore {
        #[command(flatten)]
        settings: Settings,
        /// A copy made by `backup`
        file: PathBuf,
    },
    /// Say what the database holds; the relay may run meanwhile
    Stats {
        #[command(flatten)]
        settings: Settings,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Ask the relay of these settings how it is; fails unless it is well
    Health(Settings),
}

/// Where the settings are.
#[derive(Debug, Args)]
struct Settings {
    /// Settings file (TOML). Each setting can also come from the environment: SYNC_RELAY_SERVER__BIND=…
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the database [default: the user's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Settings {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            config.storage.database = Some(data.join("relay.db"));
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => commands::serve(cli.serve),
        Some(Command::Serve(serve)) => commands::serve(serve),
        Some(Command::CheckConfig(settings)) => commands::check_config(&settings),
        Some(Command::Backup { settings, file }) => commands::backup(&settings, &file),
        Some(Command::Restore { settings, file }) => commands::restore(&settings, &file),
        Some(Command::Stats { settings, json }) => commands::stats(&settings, json),
        Some(Command::Health(settings)) => commands::health(&settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The whole chain of causes, once.
#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("sync-relay: {error:#}");
}
