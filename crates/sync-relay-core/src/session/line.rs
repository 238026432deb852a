//! Below envelopes: the handshake, then the channel.

use sync_types::channel::{Channel, Responder};
use sync_types::{ChannelError, DeviceId, RelaySecret};

/// How far the channel has come.
pub(super) enum Line {
    AwaitFirst { seed: [u8; 32] },
    AwaitThird(Box<Responder>),
    Open(Box<Channel>),
    Broken,
}

/// What a frame has brought.
pub(super) enum Heard {
    /// The handshake goes on with this frame.
    Answer(Vec<u8>),
    /// The channel is open.
    Opened,
    /// Part of an envelope.
    Part,
    /// A whole envelope.
    Envelope(Vec<u8>),
}

impl Line {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self::AwaitFirst { seed }
    }

    pub(super) fn take(&mut self, frame: &[u8], secret: &RelaySecret) -> Result<Heard, ChannelError> {
        match core::mem::replace(self, Self::Broken) {
            Self::AwaitFirst { seed } => {
                let (responder, answer) = Responder::answer(secret, seed, frame)?;
                *self = Self::AwaitThird(Box::new(responder));
                Ok(Heard::Answer(answer))
            }
            Self::AwaitThird(responder) => {
                *self = Self::Open(Box::new(responder.finish(frame)?));
                Ok(Heard::Opened)
            }
            Self::Open(mut channel) => {
                let envelope = channel.open(frame);
                // What can still be said to the peer is said through it, error or not.
                *self = Self::Open(channel);
                Ok(envelope?.map_or(Heard::Part, Heard::Envelope))
            }
            Self::Broken => Err(ChannelError::Handshake),
        }
    }

    /// The frames of an envelope; none before the channel is open.
    pub(super) fn seal(&mut self, envelope: &[u8]) -> Result<Vec<Vec<u8>>, ChannelError> {
        match self {
            Self::Open(channel) => channel.seal(envelope),
            Self::AwaitFirst { .. } | Self::AwaitThird(_) | Self::Broken => Ok(Vec::new()),
        }
    }

    pub(super) fn set_max_envelope(&mut self, bytes: usize) {
        if let Self::Open(channel) = self {
            channel.set_max_envelope(bytes);
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.channel().map_or(0, Channel::buffered)
    }

    pub(super) fn peer(&self) -> Option<DeviceId> {
        self.channel().map(Channel::peer)
    }

    pub(super) fn handshake_hash(&self) -> Option<&[u8; 32]> {
        self.channel().map(Channel::handshake_hash)
    }

    fn channel(&self) -> Option<&Channel> {
        match self {
            Self::Open(channel) => Some(channel),
            Self::AwaitFirst { .. } | Self::AwaitThird(_) | Self::Broken => None,
        }
    }
}
