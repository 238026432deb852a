//! What both ends of Sync Relay share.
//!
//! Identifiers, the MessagePack [codec](mod@wire), the [`Envelope`] and every [`Message`], the Noise
//! [channel], the [key log](keylog) and the proof of membership that a relay can check, [rotations](rotation)
//! as far as a relay sees them, and the text forms of invites and relay addresses.
//!
//! What this crate is *not*: it holds no key that opens a blob. Whatever needs the group's secret is
//! in `sync-e2ee`, which a relay does not link. Nothing here does input or output, reads a clock or
//! asks the operating system for randomness: time and random bytes are parameters, so the same code
//! runs in a browser.
//!
//! The trip of one message, as a sender makes it:
//!
//! ```
//! use sync_types::{Ack, Cursor, DeviceSecret, Envelope, GroupId, Message, Nonce, UnixMs};
//!
//! let device = DeviceSecret::from_bytes([7; 32]);
//! let message = Message::Ack(Ack { cursor: Cursor::new(3).unwrap() });
//! let bytes = Envelope::seal(&message, device.id(), GroupId([1; 32]), UnixMs(0), Nonce([2; 24]));
//! let (envelope, body) = Envelope::open(&bytes).unwrap();
//! assert_eq!(envelope.sender_id, device.id());
//! assert_eq!(body.unwrap(), message);
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access_token;
pub mod channel;
mod code;
mod envelope;
pub mod ids;
mod invite_text;
pub mod keylog;
pub mod limits;
mod message;
mod relay_url;
pub mod rotation;
mod time;
pub mod wire;
mod words;

pub use access_token::AccessToken;
pub use channel::{ChannelError, DeviceSecret, RelaySecret};
pub use code::ErrorCode;
pub use envelope::{ENVELOPE_VERSION, Envelope};
pub use ids::{
    AuthKey, BlobHash, BlobId, ChainId, Cursor, DeviceId, Epoch, GroupId, Nonce, RelayKey, StoreId,
};
pub use invite_text::{InviteCode, InviteKey, InviteTarget, InviteTextError, JoinLink, LookupKey};
pub use keylog::{KeyLink, KeyLog, KeyLogError, MembershipProof};
pub use message::*;
pub use relay_url::{RelayAddress, RelayUrl, RelayUrlError};
pub use rotation::{Lockbox, Rotation};
pub use time::{MonoMs, Now, UnixMs};
pub use wire::DecodeError;
pub use words::shown;
