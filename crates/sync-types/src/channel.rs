//! The Noise channel: `Noise_XX_25519_ChaChaPoly_BLAKE2s`, and records above it.
//!
//! The client initiates. One handshake message is one frame, without payload; afterwards one frame
//! is one Noise message whose plaintext is a *record*: a flag byte (0: more follows, 1: last of this
//! envelope) and at most [`MAX_RECORD_BODY`](crate::limits::MAX_RECORD_BODY) bytes of an envelope.
//! A record that is not the last must be full, so a peer cannot keep an envelope open for ever.
//!
//! On top of what `snow` does: a Diffie–Hellman result of all zeros fails (RFC 7748 §6.1), static
//! keys must be canonical, and the random bytes of a handshake come from a seed of the caller's.
//!
//! ```
//! use sync_types::channel::{Initiator, Responder};
//! use sync_types::{DeviceSecret, RelaySecret};
//!
//! let (device, relay) = (DeviceSecret::from_bytes([1; 32]), RelaySecret::from_bytes([2; 32]));
//! let (initiator, first) = Initiator::start(&device, [3; 32]).unwrap();
//! let (responder, second) = Responder::answer(&relay, [4; 32], &first).unwrap();
//! let introduced = initiator.read(&second).unwrap();
//! assert_eq!(introduced.relay_key(), relay.key()); // compare it with the pinned key, then go on
//! let (mut client, third) = introduced.finish().unwrap();
//! let mut server = responder.finish(&third).unwrap();
//! assert_eq!(server.peer(), device.id());
//! for frame in client.seal(b"an envelope").unwrap() {
//!     assert_eq!(server.open(&frame).unwrap().as_deref(), Some(&b"an envelope"[..]));
//! }
//! ```

mod keys;
mod one_way;
mod records;
mod resolver;

pub use keys::{DeviceSecret, RelaySecret};
pub use one_way::{ONE_WAY_OVERHEAD, open_one_way, seal_one_way};
pub use records::Assembler;

use snow::{Builder, HandshakeState, TransportState};

use crate::ids::{DeviceId, RelayKey};
use crate::limits::{MAX_NOISE_MESSAGE, MAX_UNAUTHENTICATED, NOISE_PROLOGUE};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";

/// What ends a channel, or keeps something sealed one way from opening. After any of these a
/// connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The handshake failed: not our protocol, or a key that nobody should have.
    #[error("the handshake failed")]
    Handshake,
    /// A frame does not decrypt.
    #[error("a frame does not decrypt")]
    Decrypt,
    /// A record breaks the rules of its flag byte.
    #[error("a record is malformed")]
    Record,
    /// An envelope is longer than this channel takes.
    #[error("an envelope is too large")]
    TooLarge,
}

fn builder<'a>(secret: &'a [u8; 32], seed: [u8; 32]) -> Result<Builder<'a>, ChannelError> {
    let pattern = PATTERN.parse().map_err(|_| ChannelError::Handshake)?;
    Builder::with_resolver(pattern, Box::new(resolver::Resolver::new(seed)))
        .local_private_key(secret)
        .and_then(|b| b.prologue(NOISE_PROLOGUE))
        .map_err(|_| ChannelError::Handshake)
}

fn write(state: &mut HandshakeState) -> Result<Vec<u8>, ChannelError> {
    let mut out = [0; 256];
    let len = state.write_message(&[], &mut out).map_err(|_| ChannelError::Handshake)?;
    Ok(out[..len].to_vec())
}

/// Reads a handshake message, whose payload must be empty.
fn read(state: &mut HandshakeState, message: &[u8]) -> Result<(), ChannelError> {
    let mut payload = [0; 256];
    match state.read_message(message, &mut payload) {
        Ok(0) => Ok(()),
        _ => Err(ChannelError::Handshake),
    }
}

fn remote_static(state: &HandshakeState) -> Result<&[u8], ChannelError> {
    state.get_remote_static().ok_or(ChannelError::Handshake)
}

/// A client that has sent its first message.
#[derive(Debug)]
pub struct Initiator(HandshakeState);

impl Initiator {
    /// Starts a handshake with 32 fresh random bytes; gives the first message to send.
    pub fn start(device: &DeviceSecret, seed: [u8; 32]) -> Result<(Self, Vec<u8>), ChannelError> {
        let built = builder(device.expose_bytes(), seed)?.build_initiator();
        let mut state = built.map_err(|_| ChannelError::Handshake)?;
        let first = write(&mut state)?;
        Ok((Self(state), first))
    }

    /// Reads the relay's answer, which proves the relay's key.
    pub fn read(mut self, second: &[u8]) -> Result<Introduced, ChannelError> {
        read(&mut self.0, second)?;
        let relay_key = RelayKey::from_slice(remote_static(&self.0)?).ok_or(ChannelError::Handshake)?;
        Ok(Introduced { state: self.0, relay_key })
    }
}

/// A client that knows who answered, and has not yet said who it is.
#[derive(Debug)]
pub struct Introduced {
    state: HandshakeState,
    relay_key: RelayKey,
}

impl Introduced {
    /// The relay's key. Compare it before [`finish`](Self::finish), which reveals the device's own.
    pub fn relay_key(&self) -> RelayKey {
        self.relay_key
    }

    /// Gives the channel and the third message to send.
    pub fn finish(mut self) -> Result<(Channel, Vec<u8>), ChannelError> {
        let third = write(&mut self.state)?;
        let channel = Channel::established(self.state, DeviceId::from(self.relay_key))?;
        Ok((channel, third))
    }
}

/// A relay that has answered a first message.
#[derive(Debug)]
pub struct Responder(HandshakeState);

impl Responder {
    /// Reads the first message with 32 fresh random bytes at hand; gives the answer to send.
    pub fn answer(
        relay: &RelaySecret,
        seed: [u8; 32],
        first: &[u8],
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let built = builder(relay.expose_bytes(), seed)?.build_responder();
        let mut state = built.map_err(|_| ChannelError::Handshake)?;
        read(&mut state, first)?;
        let second = write(&mut state)?;
        Ok((Self(state), second))
    }

    /// Reads the third message, which proves the device's key.
    pub fn finish(mut self, third: &[u8]) -> Result<Channel, ChannelError> {
        read(&mut self.0, third)?;
        let device = DeviceId::from_slice(remote_static(&self.0)?).ok_or(ChannelError::Handshake)?;
        Channel::established(self.0, device)
    }
}

/// Both ends know each other: envelopes go both ways.
#[derive(Debug)]
pub struct Channel {
    state: TransportState,
    peer: DeviceId,
    handshake_hash: [u8; 32],
    assembler: Assembler,
}

impl Channel {
    fn established(state: HandshakeState, peer: DeviceId) -> Result<Self, ChannelError> {
        let handshake_hash = state.get_handshake_hash().try_into().map_err(|_| ChannelError::Handshake)?;
        let state = state.into_transport_mode().map_err(|_| ChannelError::Handshake)?;
        Ok(Self { state, peer, handshake_hash, assembler: Assembler::new(MAX_UNAUTHENTICATED) })
    }

    /// The other end's static key.
    pub fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Names this connection; both ends have the same.
    pub fn handshake_hash(&self) -> &[u8; 32] {
        &self.handshake_hash
    }

    /// Sets the largest envelope that is taken, in bytes; 64 KiB until this is called.
    pub fn set_max_envelope(&mut self, bytes: usize) {
        self.assembler.set_max(bytes);
    }

    /// Bytes held for an envelope that is not complete yet.
    pub fn buffered(&self) -> usize {
        self.assembler.buffered()
    }

    /// Encrypts an envelope into the frames that carry it, to be sent in this order.
    pub fn seal(&mut self, envelope: &[u8]) -> Result<Vec<Vec<u8>>, ChannelError> {
        records::split(envelope)
            .map(|record| {
                let mut frame = vec![0; record.len() + 16];
                let len =
                    self.state.write_message(&record, &mut frame).map_err(|_| ChannelError::TooLarge)?;
                frame.truncate(len);
                Ok(frame)
            })
            .collect()
    }

    /// Decrypts a frame; gives an envelope when this frame completes it.
    pub fn open(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, ChannelError> {
        if frame.len() > MAX_NOISE_MESSAGE {
            return Err(ChannelError::Decrypt);
        }
        let mut record = vec![0; frame.len()];
        let len = self.state.read_message(frame, &mut record).map_err(|_| ChannelError::Decrypt)?;
        record.truncate(len);
        self.assembler.add(record)
    }
}

#[cfg(test)]
mod tests;
