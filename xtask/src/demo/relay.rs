//! A relay as a child process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a relay may take to answer, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stopped when dropped.
#[derive(Debug)]
pub(super) struct Relay {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Relay {
    /// Starts a relay that keeps everything below `folder`, and waits until it answers.
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let log = folder.join("relay.log");
        let file = File::create(&log)?;
        let child = Command::new(program)
            .args(["serve", "--bind", &address.to_string(), "--data"])
            .arg(folder.join("relay"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut relay = Self { child, address, log };
        relay.wait_until_healthy()?;
        Ok(relay)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let start = Instant::now();
        while !healthy(self.address) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the relay has ended ({status})\n{}", self.log());
            }
            if start.elapsed() > PATIENCE {
                bail!("the relay does not answer at {}\n{}", self.address, self.log());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A demo's data goes with it: nothing is lost by not asking politely.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// 127.0.0.1:8080 as in the README, or another port when somebody has that one.
fn free_address() -> Result<SocketAddr> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(8080).or_else(|_| bind(0)).context("no port is free on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

fn healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let wait = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, wait)?;
        stream.set_read_timeout(Some(wait))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
