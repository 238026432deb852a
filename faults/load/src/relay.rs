//! The relay as a process of its own, as operators run it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    program: PathBuf,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    child: Child,
}

impl Relay {
    /// Starts the program on a new database.
    pub(crate) async fn start(program: &Path, settings: Vec<(&'static str, String)>) -> Result<Self> {
        let folder = TempDir::new()?;
        let (child, addr) = spawn(program, &folder, &settings, "127.0.0.1:0").await?;
        Ok(Self { addr, program: program.to_owned(), folder, settings, child })
    }

    /// Kills it, and starts it again at the same address.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.child.kill().await?;
        let bind = self.addr.to_string();
        (self.child, _) = spawn(&self.program, &self.folder, &self.settings, &bind).await?;
        Ok(())
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let id = self.child.id().context("the relay has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Members that are connected, by its own account.
    pub(crate) async fn connections(&self) -> Result<usize> {
        let mut stream = TcpStream::connect(self.addr).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, rest) = answer.split_once("\"connections\":").context("no count of connections")?;
        Ok(rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?)
    }

    /// The database with its log, in bytes.
    pub(crate) fn disk(&self) -> Result<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(self.folder.path())? {
            sum += entry?.metadata()?.len();
        }
        Ok(sum)
    }
}

async fn spawn(
    program: &Path,
    folder: &TempDir,
    settings: &[(&'static str, String)],
    bind: &str,
) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(program);
    command.args(["serve", "--bind", bind, "--data"]).arg(folder.path());
    command.env("RUST_LOG", "warn").stdout(Stdio::piped()).kill_on_drop(true);
    for (name, value) in settings {
        command.env(format!("SYNC_RELAY_{name}"), value);
    }
    let mut child = command.spawn().with_context(|| format!("{} does not start", program.display()))?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let line = lines.next_line().await?.context("the relay ended at once")?;
    let addr = line.strip_prefix("sync-relay listens on http://").context("the relay says something else")?;
    let addr = addr.trim().parse()?;
    // What else it says is read, so that it never waits for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, addr))
}
