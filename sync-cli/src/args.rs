//! The command line's grammar.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use sync_client::{AccessToken, Cursor, RelayAddress, RelayKey, RelayUrl};

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
reached · 4 the relay refuses, or is not the expected one · 5 no such invite: mistyped, used, or expired · \
6 this device is in the group no more, or the group is erased

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
    /// Remove a device from the group for good: the group gets a new key, and that device does not.
    Remove(Remove),
    /// Give the group a new key without removing anybody.
    Rotate(Rotate),
    /// Send what is queued, and wait until the relay has it.
    Flush,
    /// Agree to push again what the relay has lost, when it lost its store twice within a day.
    Restore,
    /// Keep the group in a file that six words open, for the day when every device is lost.
    #[command(subcommand)]
    Recovery(Recovery),
    /// Leave the group: tell the others and the relay, then erase this device here.
    Leave(Confirmed),
    /// Erase the group at the relay, with everything in it, for all its devices.
    DeleteGroup(Confirmed),
    /// Erase this device here, without telling anybody.
    Wipe(Confirmed),
    /// Accept another key of the relay, told by whoever runs it.
    TrustRelay {
        /// The relay's new key: 43 characters.
        #[arg(value_parser = relay_key, allow_hyphen_values = true)]
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
    /// The page that the link leads to, at URL/join. [default: the relay's]
    #[arg(long, value_name = "URL", conflicts_with_all = ["join", "revoke", "passphrase"])]
    pub(crate) page: Option<RelayUrl>,
    /// Join the group of a code, a link, or a QR's text.
    #[arg(long, group = "what", value_name = "CODE_OR_LINK")]
    pub(crate) join: Option<String>,
    /// Take the last invite back.
    #[arg(long, group = "what")]
    pub(crate) revoke: bool,
    /// Join, or begin, the group of this name and a passphrase that is typed on each of its devices, or
    /// stands on stdin. Where devices can be invited, that is safer: --create.
    #[arg(long, group = "what", value_name = "GROUP_NAME")]
    pub(crate) passphrase: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Remove {
    /// Which: its name, its id, or how its id begins. `devices` lists them.
    #[arg(allow_hyphen_values = true)]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) rotate: Rotate,
    #[command(flatten)]
    pub(crate) confirmed: Confirmed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rotate {
    /// Devices that join later cannot read what was pushed before.
    #[arg(long)]
    pub(crate) forget_history: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Confirmed {
    /// Do not ask whether this is meant.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Recovery {
    /// Write the group's recovery file, and show the six words that open it.
    Export {
        /// Where to; nothing is written over.
        file: PathBuf,
    },
    /// Bring this device into the group of a recovery file; the six words are typed, or stand on stdin.
    Import {
        /// The recovery file.
        file: PathBuf,
    },
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
        assert!(parses("sync-cli pair --create --page https://notes.example"));
        assert!(parses("sync-cli push -"));
        assert!(parses("sync-cli remove phone --forget-history --yes"));
        assert!(parses("sync-cli --json recovery import file"));
        assert!(parses("sync-cli --json pull --after-cursor 0 --limit 5"));
        for wrong in [
            "sync-cli pair",
            "sync-cli pair --create --revoke",
            "sync-cli pair --create --page notes.example",
            "sync-cli pair --revoke --page https://notes.example",
            "sync-cli pair --create --passphrase home",
            "sync-cli remove",
            "sync-cli recovery",
            "sync-cli recovery export",
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
