//! A relay that writes down everything it decrypts, for the test that looks for secrets in it:
//! `recording-relay ADDR DATABASE RECORD`.

use std::path::Path;

use anyhow::Context;
use sync_relay::Config;
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it says where it listens")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("trace").with_writer(std::io::stderr).with_ansi(false).init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bind, database, record] = args.as_slice() else {
        anyhow::bail!("usage: recording-relay ADDR DATABASE RECORD");
    };
    sync_relay::record::start(Path::new(record)).context("the record cannot be made")?;
    let mut config = Config::default();
    config.storage.database = Some(database.into());
    let listener = TcpListener::bind(bind).await?;
    println!("sync-relay listens on http://{}", listener.local_addr()?);
    sync_relay::serve(config, listener, std::future::pending()).await?;
    Ok(())
}
