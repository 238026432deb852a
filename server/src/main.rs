//! `sync-relay`: runs the relay until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use sync_relay::{Config, Log, LogFormat};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A self-hosted relay that keeps devices in sync and can read nothing of theirs.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay (also without saying so).
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// Settings file (TOML). Each setting can also come from the environment: SYNC_RELAY_SERVER__BIND=…
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
    /// Folder for the database [default: the user's data folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let serve = match cli.command {
        Some(Command::Serve(serve)) => serve,
        None => cli.serve,
    };
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(serve: Serve) -> anyhow::Result<()> {
    let mut config = Config::load(serve.config.as_deref())?;
    if let Some(bind) = serve.bind {
        config.server.bind = bind;
    }
    if let Some(data) = serve.data {
        config.storage.database = Some(data.join("relay.db"));
    }
    log(&config.log);
    let bind = config.server.bind;
    let listener = TcpListener::bind(bind).await.with_context(|| format!("cannot listen on {bind}"))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    announce(&config, &listener)?;
    sync_relay::serve(config, listener, async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await?;
    Ok(())
}

fn log(settings: &Log) {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&settings.level));
    let lines = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// Says where the relay is and where its data lies: with a bind to port 0, only now known.
#[expect(clippy::print_stdout, reason = "it is what the command answers")]
fn announce(config: &Config, listener: &TcpListener) -> anyhow::Result<()> {
    println!("sync-relay listens on http://{}", listener.local_addr()?);
    println!("its data lies in {}", config.database()?.display());
    Ok(())
}

/// The whole chain of causes, once.
#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("sync-relay: {error:#}");
}
