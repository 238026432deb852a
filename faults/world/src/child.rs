//! A process that was started here, and what it has said.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::item::WriterNo;

/// Longer than anything takes here: only what would never come runs into it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a process has said so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// It does what it is there for.
    pub ready: bool,
    /// Where a relay listens.
    pub listens: Option<String>,
    /// Pushes of this life that were acknowledged.
    pub acked: u64,
    /// The last push that returned.
    pub queued: u64,
    /// How often it saw another device come.
    pub sees: u64,
    /// How often everything was pushed.
    pub drained: u64,
    /// The newest item of each writer that it took.
    pub took: BTreeMap<WriterNo, u64>,
    /// How often it was told that the relay is another one.
    pub resets: u64,
    /// What it answered last when it was told to invite or to join.
    pub answer: Option<String>,
    /// It has ended, or was killed.
    pub ended: bool,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let number = |word: &str| word.parse().unwrap_or(0);
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ready"] => self.ready = true,
            ["listens", address] => self.listens = Some((*address).to_owned()),
            ["acked", n] => self.acked = number(n),
            ["queued", n] => self.queued = number(n),
            ["sees"] => self.sees += 1,
            ["drained"] => self.drained += 1,
            ["reset"] => self.resets += 1,
            ["took", writer, n] => {
                let newest = self.took.entry(writer.parse().unwrap_or(0)).or_default();
                *newest = number(n).max(*newest);
            }
            ["invite" | "refused", ..] | ["joined"] => self.answer = Some(line.to_owned()),
            _ => {}
        }
    }
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
    stdin: ChildStdin,
    heard: watch::Receiver<Heard>,
}

impl Running {
    /// Starts a program with its complaints going to the end of a file.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let started = command
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut process = started.with_context(|| format!("cannot start {command:?}"))?;
        let stdin = process.stdin.take().context("no standard input")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let (sender, heard) = watch::channel(Heard::default());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sender.send_modify(|heard| heard.hear(&line));
            }
            sender.send_modify(|heard| heard.ended = true);
        });
        Ok(Self { process, stdin, heard })
    }

    /// Tells it something. One that is dead hears nothing.
    pub fn tell(&mut self, order: &str) {
        let _ = writeln!(self.stdin, "{order}");
    }

    /// Waits until it has said something; fails when it ends first.
    pub async fn until(&mut self, what: &str, is: impl Fn(&Heard) -> bool) -> Result<()> {
        let waited = timeout(PATIENCE, self.heard.wait_for(|heard| is(heard) || heard.ended)).await;
        match waited {
            Ok(Ok(heard)) if is(&heard) => Ok(()),
            Ok(Ok(_) | Err(_)) => bail!("it ended instead of: {what}"),
            Err(_) => bail!("not within {} s: {what}", PATIENCE.as_secs()),
        }
    }

    /// What it has said by now.
    pub fn heard(&self) -> watch::Ref<'_, Heard> {
        self.heard.borrow()
    }

    /// SIGKILL; it is gone afterwards.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Ends it by its own doing.
    pub fn end(mut self) -> Result<()> {
        self.tell("end");
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { bail!("it ended with {status}") }
    }

    /// SIGSTOP, as if the machine slept, or SIGCONT.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("kill -s {name} failed") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
