//! The real program in a process of its own.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tempfile::TempDir;

pub struct Program {
    pub child: Child,
    pub stdout: BufReader<ChildStdout>,
    pub addr: SocketAddr,
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync-relay"));
    command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("sync-relay listens on http://").unwrap().parse().unwrap();
        Self { child, stdout, addr }
    }

    pub fn on(folder: &TempDir) -> Self {
        let mut command = command();
        command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(folder.path());
        Self::start(command)
    }

    pub fn terminate(mut self) -> ExitStatus {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(killed.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
