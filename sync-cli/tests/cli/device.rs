//! One device's folder, and the command line in it.

use std::path::Path;
use std::process::{Child, Stdio};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A device that `init` made.
pub(crate) struct Device {
    home: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Device {
    /// A folder without a device.
    pub(crate) fn none() -> Self {
        Self { home: TempDir::new().unwrap() }
    }

    pub(crate) fn new(relay: &str, name: &str) -> Self {
        let device = Self::none();
        let made = device.json(&["init", "--name", name, "--relay", relay]);
        assert_eq!(made["name"], name);
        assert_eq!(made["key"], "file");
        device
    }

    /// Two devices of one group.
    pub(crate) fn pair(relay: &str) -> (Self, Self) {
        let (a, b) = (Self::new(relay, "laptop"), Self::new(relay, "phone"));
        let invite = a.json(&["pair", "--create"]);
        b.json(&["pair", "--join", invite["code"].as_str().unwrap()]);
        (a, b)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: impl Into<Vec<u8>>) -> Ended {
        let output = Command::from_std(self.command(args)).write_stdin(stdin.into()).output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs with `--json`; must end well with one object.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(&[&["--json"], args].concat());
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 1, "{args:?}: {}", ended.stdout);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let child = self.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        Running(child)
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sync-cli"));
        command.args(args).env("SYNC_HOME", self.home()).env("SYNC_KEYCHAIN", "off").env("SYNC_LOG", "debug");
        command
    }
}

/// A command that runs until it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The texts of a pull.
pub(crate) fn texts(pulled: &Value) -> Vec<&str> {
    pulled["blobs"].as_array().unwrap().iter().map(|blob| blob["text"].as_str().unwrap()).collect()
}

/// The cursors of a pull.
pub(crate) fn cursors(pulled: &Value) -> Vec<u64> {
    pulled["blobs"].as_array().unwrap().iter().map(|blob| blob["cursor"].as_u64().unwrap()).collect()
}
