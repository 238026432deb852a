//! `serve`: the relay itself.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use sync_relay::{Config, Log, LogFormat};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::Settings;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 4096;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
}

#[tokio::main]
pub(crate) async fn serve(serve: Serve) -> anyhow::Result<()> {
    let mut config = serve.settings.load()?;
    if let Some(bind) = serve.bind {
        config.server.bind = bind;
    }
    log(&config.log);
    let bind = config.server.bind;
    let listener = listen(bind).with_context(|| format!("cannot listen on {bind}"))?;
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

/// Thousands of devices come back in the same second when the relay was away.
fn listen(bind: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)
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
fn announce(config: &Config, listener: &TcpListener) -> anyhow::Result<()> {
    println!("sync-relay listens on http://{}", listener.local_addr()?);
    println!("its data lies in {}", config.database()?.display());
    Ok(())
}
