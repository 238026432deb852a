//! The bounds of the protocol. What an operator can change is a setting of the relay instead.

use core::time::Duration;

/// The newest protocol version that this build speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// WebSocket sub-protocol of `GET /sync`.
pub const SUBPROTOCOL: &str = "sync-relay.v1";
/// Noise prologue: both ends mix it into the handshake.
pub const NOISE_PROLOGUE: &[u8] = b"sync-relay/1";

/// Largest Noise message, in bytes (Noise Protocol Framework, §3).
pub const MAX_NOISE_MESSAGE: usize = 65_535;
/// Largest part of an envelope in one record: a Noise message less its tag and the record's flag.
pub const MAX_RECORD_BODY: usize = MAX_NOISE_MESSAGE - 16 - 1;
/// Room beside the largest blob for everything else in an envelope, in bytes.
pub const ENVELOPE_OVERHEAD: usize = 64 * 1024;
/// Largest envelope before WELCOME, in bytes: what a stranger can make a relay hold.
pub const MAX_UNAUTHENTICATED: usize = 64 * 1024;

/// Largest app data in one blob by default, in bytes.
pub const DEFAULT_MAX_APP_DATA: usize = 1024 * 1024;
/// What sealing and padding may add to the app's data, in bytes.
pub const SEAL_OVERHEAD: usize = 1024;
/// Largest sealed blob by default, in bytes.
pub const DEFAULT_MAX_BLOB: u32 = (DEFAULT_MAX_APP_DATA + SEAL_OVERHEAD) as u32;

/// Smallest bound of a sealed blob that a relay may have, in bytes: what announces a device must fit, and what takes the
/// place of a blob that was refused.
pub const MIN_MAX_BLOB: u32 = 4 * 1024;

/// Most links of a key log.
pub const MAX_KEY_LINKS: usize = 400;
/// Largest sealed device name, in bytes.
pub const MAX_SEALED_NAME: usize = 256;
/// Largest access token, in bytes.
pub const MAX_ACCESS_TOKEN: usize = 256;
/// Most blobs of one PUSH_BATCH.
pub const MAX_BATCH: usize = 512;
/// Most blobs of one PULL_RESPONSE, whatever was asked.
pub const MAX_PULL: u32 = 1_000;
/// Blobs of one PULL_RESPONSE when the client asks for 0.
pub const DEFAULT_PULL: u32 = 100;
/// Most NOTIFY messages after HELLO.
pub const MAX_PENDING_NOTIFY: u32 = 32;
/// Largest payload that a NOTIFY carries inline, in bytes.
pub const MAX_INLINE_NOTIFY: usize = 4 * 1024;
/// Largest sealed invite, in bytes.
pub const MAX_SEALED_INVITE: usize = 16 * 1024;
/// How long an invite lives.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(600);

/// From the first byte to a verified HELLO.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// The relay pings this often, less up to a fifth as jitter.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// The relay drops a peer that has been silent for this long.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(75);
/// Bytes a millisecond that a line must carry, either way: what is waited for is given the time that it takes at this pace.
pub const SLOWEST_LINE: usize = 4;
/// A client sends PRESENCE after this much silence from the relay.
pub const CLIENT_SILENCE: Duration = Duration::from_secs(30);
/// A client reconnects when PRESENCE is not answered within this time.
pub const PRESENCE_TIMEOUT: Duration = Duration::from_secs(10);
