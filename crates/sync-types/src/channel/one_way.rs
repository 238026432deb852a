//! Sealing for one device that is not there: `Noise_X_25519_ChaChaPoly_BLAKE2s`, one message.
//!
//! The recipient learns who sealed it; nobody else does. Source: Noise Protocol Framework, §7.4.

use snow::{Builder, Error};
use zeroize::Zeroizing;

use super::{ChannelError, DeviceSecret, resolver::Resolver};
use crate::ids::DeviceId;
use crate::limits::MAX_NOISE_MESSAGE;

const PATTERN: &str = "Noise_X_25519_ChaChaPoly_BLAKE2s";

/// What sealing adds to a payload: an ephemeral key, the sender's sealed key, a tag.
pub const ONE_WAY_OVERHEAD: usize = 32 + (32 + 16) + 16;

/// Seals for one device; `seed` are 32 fresh random bytes. The result is 96 bytes longer than the
/// payload. Whoever opens it must name the same `prologue`.
///
/// # Errors
/// [`ChannelError::TooLarge`] past one Noise message; [`ChannelError::Handshake`] for a recipient's
/// key that nobody should have.
pub fn seal_one_way(
    prologue: &[u8],
    from: &DeviceSecret,
    to: &DeviceId,
    payload: &[u8],
    seed: [u8; 32],
) -> Result<Vec<u8>, ChannelError> {
    if payload.len() > MAX_NOISE_MESSAGE - ONE_WAY_OVERHEAD {
        return Err(ChannelError::TooLarge);
    }
    let mut state = builder(prologue, from, seed)
        .and_then(|b| b.remote_public_key(to.as_bytes()))
        .and_then(Builder::build_initiator)
        .map_err(|_| ChannelError::Handshake)?;
    let mut sealed = vec![0; payload.len() + ONE_WAY_OVERHEAD];
    let len = state.write_message(payload, &mut sealed).map_err(|_| ChannelError::Handshake)?;
    sealed.truncate(len);
    Ok(sealed)
}

/// Opens what [`seal_one_way`] made; gives the payload and the device that sealed it.
///
/// # Errors
/// [`ChannelError::Decrypt`] for what was not sealed for this device under this prologue;
/// [`ChannelError::Handshake`] for a sender's key that nobody should have.
pub fn open_one_way(
    prologue: &[u8],
    secret: &DeviceSecret,
    sealed: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, DeviceId), ChannelError> {
    let room = sealed.len().checked_sub(ONE_WAY_OVERHEAD).ok_or(ChannelError::Decrypt)?;
    // A recipient of a one-way pattern draws nothing.
    let mut state = builder(prologue, secret, [0; 32])
        .and_then(Builder::build_responder)
        .map_err(|_| ChannelError::Handshake)?;
    let mut payload = Zeroizing::new(vec![0; room]);
    let len = state.read_message(sealed, &mut payload).map_err(|error| {
        if matches!(error, Error::Dh) { ChannelError::Handshake } else { ChannelError::Decrypt }
    })?;
    payload.truncate(len);
    let sender = state.get_remote_static().and_then(DeviceId::from_slice).ok_or(ChannelError::Handshake)?;
    Ok((payload, sender))
}

fn builder<'a>(prologue: &'a [u8], secret: &'a DeviceSecret, seed: [u8; 32]) -> Result<Builder<'a>, Error> {
    let pattern = PATTERN.parse()?;
    Builder::with_resolver(pattern, Box::new(Resolver::new(seed)))
        .local_private_key(secret.expose_bytes())
        .and_then(|b| b.prologue(prologue))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u8) -> DeviceSecret {
        DeviceSecret::from_bytes([n; 32])
    }

    fn sealed() -> Vec<u8> {
        seal_one_way(b"prologue", &device(1), &device(2).id(), b"secret", [3; 32]).unwrap()
    }

    #[test]
    fn the_recipient_alone_opens_it_and_learns_who_sealed_it() {
        assert_eq!(sealed().len(), 96 + 6);
        let (payload, sender) = open_one_way(b"prologue", &device(2), &sealed()).unwrap();
        assert_eq!((payload.as_slice(), sender), (&b"secret"[..], device(1).id()));
        for (prologue, secret) in [(&b"prologue"[..], 1), (b"prologue", 3), (b"another", 2), (b"", 2)] {
            let opened = open_one_way(prologue, &device(secret), &sealed());
            assert_eq!(opened.err(), Some(ChannelError::Decrypt));
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let sealed = sealed();
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(open_one_way(b"prologue", &device(2), &changed).is_err(), "byte {i}");
            let short = open_one_way(b"prologue", &device(2), &sealed[..i]);
            assert_eq!(short.err(), Some(ChannelError::Decrypt), "{i} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(open_one_way(b"prologue", &device(2), &longer).err(), Some(ChannelError::Decrypt));
    }

    #[test]
    fn payloads_of_every_size_come_back_up_to_one_noise_message() {
        for len in [0, 1, MAX_NOISE_MESSAGE - ONE_WAY_OVERHEAD] {
            let payload = vec![7; len];
            let sealed = seal_one_way(b"", &device(1), &device(2).id(), &payload, [3; 32]).unwrap();
            assert_eq!(*open_one_way(b"", &device(2), &sealed).unwrap().0, payload);
        }
        let over = vec![7; MAX_NOISE_MESSAGE - ONE_WAY_OVERHEAD + 1];
        let sealed = seal_one_way(b"", &device(1), &device(2).id(), &over, [3; 32]);
        assert_eq!(sealed, Err(ChannelError::TooLarge));
    }

    #[test]
    fn keys_that_force_a_zero_secret_are_refused_at_both_ends() {
        let low = DeviceId::from_bytes([0; 32]).unwrap();
        let sealing = seal_one_way(b"", &device(1), &low, b"", [3; 32]);
        assert_eq!(sealing, Err(ChannelError::Handshake));
        let mut with_low = sealed();
        with_low[..32].fill(0);
        assert_eq!(open_one_way(b"prologue", &device(2), &with_low).err(), Some(ChannelError::Handshake));
    }

    #[test]
    fn another_seed_seals_it_otherwise() {
        let again = seal_one_way(b"prologue", &device(1), &device(2).id(), b"secret", [4; 32]).unwrap();
        assert_ne!(again[..32], sealed()[..32]);
    }
}
