//! The command line's grammar.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use sync_client::{AccessToken, Cursor, RelayAddress, RelayKey};

/// Keeps the devices of one person in step through a relay that can read nothing.
///
/// First `init` on each device; then `pair --create` on one and `pair --join CODE` on the other; then
/// `push` and `pull`.
#[derive(Debug, Parser)]
#[command(name = "sync-cli", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Args {
    /// The device's folder.
    #[arg(long, env = "SYNC_HOME", value_name = "DIR", global = true)]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON object on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done · 1 this machine's store or keychain fails · 2 wrong usage · 3 the relay cannot be \
reached · 4 the relay refuses, or is not the expected one · 5 no such invite: mistyped, used, or expired

Environment: SYNC_HOME the device's folder · SYNC_KEYCHAIN=off keeps the store's key in a file · \
SYNC_LOG=debug logs to stderr · NO_COLOR";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make this device: its keys and its name. Nothing is sent.
    Init(Init),
    /// Let another device join the group, or join it from here.
    Pair(Pair),
    /// Send a text, a file, or what stands on stdin to the other devices.
    Push(Push),
    /// Print what the other devices sent and this one has not read yet.
    Pull(Pull),
    /// Print what the other devices send, as it comes, until Ctrl-C.
    Watch,
    /// Show the group, the relay and what is waiting.
    Status,
    /// List the group's devices.
    Devices,
    /// Send what is queued, and wait until the relay has it.
    Flush,
    /// Accept another key of the relay, told by whoever runs it.
    TrustRelay {
        /// The relay's new key: 43 characters.
        #[arg(value_parser = relay_key)]
        key: RelayKey,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// What people will call this device. [default: the host's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The relay: https://relay.example, perhaps with #relay=KEY behind it. A link brings its own.
    #[arg(long, value_name = "URL")]
    pub(crate) relay: Option<RelayAddress>,
    /// For relays that let only those make groups who have a token.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) access_token: Option<AccessToken>,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("what").required(true))]
pub(crate) struct Pair {
    /// Print a code, a link and a QR for one other device; they work once, for ten minutes.
    #[arg(long, group = "what")]
    pub(crate) create: bool,
    /// Join the group of a code, a link, or a QR's text.
    #[arg(long, group = "what", value_name = "CODE_OR_LINK")]
    pub(crate) join: Option<String>,
    /// Take the last invite back.
    #[arg(long, group = "what")]
    pub(crate) revoke: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("what").required(true))]
pub(crate) struct Push {
    /// The text; - reads stdin.
    #[arg(group = "what")]
    pub(crate) text: Option<String>,
    /// Send a file's contents.
    #[arg(long, group = "what", value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Pull {
    /// Only read what comes after this cursor, own blobs included, and move nothing.
    #[arg(long, value_name = "N", value_parser = cursor)]
    pub(crate) after_cursor: Option<Cursor>,
    /// At most so many blobs. [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Write each blob to a file in this folder, named by its cursor.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

fn relay_key(text: &str) -> Result<RelayKey, String> {
    RelayKey::from_text(text).ok_or_else(|| "a relay's key has 43 letters, digits, - and _".to_owned())
}

fn cursor(text: &str) -> Result<Cursor, String> {
    let number = text.parse().map_err(|_| "a cursor is a number from 0".to_owned())?;
    Cursor::new(number).ok_or_else(|| "no log is that long".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn exactly_one_thing_is_asked_for() {
        let parses = |line: &str| Args::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("sync-cli pair --create"));
        assert!(parses("sync-cli push -"));
        assert!(parses("sync-cli --json pull --after-cursor 0 --limit 5"));
        for wrong in [
            "sync-cli pair",
            "sync-cli pair --create --revoke",
            "sync-cli push",
            "sync-cli push text --file path",
            "sync-cli pull --after-cursor -1",
            "sync-cli pull --limit 0",
            "sync-cli trust-relay short",
            "sync-cli init --relay relay.example",
        ] {
            assert!(!parses(wrong), "{wrong}");
        }
    }
}
