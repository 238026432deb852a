//! Sealed blobs: `format u8 = 1 | epoch u32 BE | nonce 24 | ciphertext and tag`.
//!
//! XChaCha20-Poly1305 under the epoch's blob key. The associated data names group, epoch, sender and
//! blob id, so that a relay can neither attribute a blob to someone else nor move it elsewhere.

use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use sync_types::limits::DEFAULT_MAX_BLOB;
use sync_types::wire::{Reader, Wire, Writer};
use sync_types::{BlobHash, BlobId, ChainId, DeviceId, Epoch, GroupId, UnixMs};
use zeroize::Zeroizing;

use crate::content::{Content, Kind, Place, Seen};
use crate::padding::padded_len;
use crate::schedule::EpochKeys;
use crate::{SealError, aead};

const FORMAT: u8 = 1;
const HEADER: usize = 5;
/// Shorter bodies are not worth compressing: they are padded to 256 bytes anyway.
const COMPRESS_FROM: usize = 128;
const RAW: u8 = 0;
const LZ4: u8 = 1;

/// What a sealed blob is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobContext {
    /// The group.
    pub group_id: GroupId,
    /// The epoch whose key seals it.
    pub epoch: Epoch,
    /// The device that pushes it.
    pub sender: DeviceId,
    /// Its id.
    pub blob_id: BlobId,
}

/// How to seal.
#[derive(Debug, Clone, Copy)]
pub struct SealOptions {
    /// Largest sealed blob, in bytes: padding stops there, and more is refused.
    pub max_blob: usize,
    /// Whether to compress where that makes the blob smaller. Lengths then say a little about content.
    pub compress: bool,
}

impl Default for SealOptions {
    fn default() -> Self {
        Self { max_blob: DEFAULT_MAX_BLOB as usize, compress: true }
    }
}

/// SHA-256 of a sealed blob: what the next blob of its chain refers to.
pub fn hash(sealed: &[u8]) -> BlobHash {
    BlobHash(Sha256::digest(sealed).into())
}

/// The epoch that a sealed blob claims; nothing about it is verified.
pub fn claimed_epoch(sealed: &[u8]) -> Result<Epoch, SealError> {
    let (format, rest) = sealed.split_first().ok_or(SealError::Decrypt)?;
    if *format != FORMAT {
        return Err(SealError::UnknownFormat);
    }
    let epoch = rest.first_chunk().ok_or(SealError::Decrypt)?;
    Ok(Epoch::from_be_bytes(*epoch))
}

/// Seals a content.
///
/// # Errors
/// [`SealError::TooLarge`] when it would not fit `options.max_blob`.
pub fn seal(
    keys: &EpochKeys,
    context: &BlobContext,
    content: &Content,
    options: &SealOptions,
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<u8>, SealError> {
    let room = options.max_blob.checked_sub(HEADER + aead::OVERHEAD).ok_or(SealError::TooLarge)?;
    let mut plaintext = Zeroizing::new(encode(content, options.compress, room));
    if plaintext.len() > room {
        return Err(SealError::TooLarge);
    }
    let padded = padded_len(plaintext.len(), room);
    plaintext.resize(padded, 0);

    let mut sealed = Vec::with_capacity(HEADER + aead::OVERHEAD + padded);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&context.epoch.to_be_bytes());
    aead::seal(&keys.blob, &associated_data(context), &plaintext, rng, &mut sealed)?;
    Ok(sealed)
}

/// Opens a sealed blob whose body is at most `max_body` bytes.
///
/// # Errors
/// [`SealError::WrongEpoch`] when the blob claims another epoch than `context` does;
/// [`SealError::Decrypt`] for whatever was not sealed by a member for this very place.
pub fn open(
    keys: &EpochKeys,
    context: &BlobContext,
    sealed: &[u8],
    max_body: usize,
) -> Result<Content, SealError> {
    if claimed_epoch(sealed)? != context.epoch {
        return Err(SealError::WrongEpoch);
    }
    let plaintext = aead::open(&keys.blob, &associated_data(context), &sealed[HEADER..])?;
    decode(&plaintext, max_body)
}

fn associated_data(context: &BlobContext) -> Vec<u8> {
    [
        b"sync-relay blob v1".as_slice(),
        &context.group_id.0,
        &context.epoch.to_be_bytes(),
        context.sender.as_bytes(),
        &context.blob_id.0,
    ]
    .concat()
}

fn encode(content: &Content, compress: bool, room: usize) -> Vec<u8> {
    let raw = encode_with(content, RAW, &content.body);
    if !compress || content.body.len() < COMPRESS_FROM {
        return raw;
    }
    let packed = encode_with(content, LZ4, &lz4_flex::block::compress_prepend_size(&content.body));
    if padded_len(packed.len(), room) < padded_len(raw.len(), room) { packed } else { raw }
}

fn encode_with(content: &Content, codec: u8, body: &[u8]) -> Vec<u8> {
    let mut w = Writer::with_capacity(body.len() + 192);
    w.array(8);
    content.kind.put(&mut w);
    content.place.chain_id.put(&mut w);
    content.place.seq.put(&mut w);
    content.place.prev.put(&mut w);
    content.place.prev_expires.put(&mut w);
    content.place.seen.put(&mut w);
    codec.put(&mut w);
    w.bin(body);
    w.finish()
}

pub(crate) fn decode(plaintext: &[u8], max_body: usize) -> Result<Content, SealError> {
    let mut r = Reader::new(plaintext);
    r.array(8)?;
    let kind = Kind::take(&mut r)?;
    let place = Place {
        chain_id: ChainId::take(&mut r)?,
        seq: u64::take(&mut r)?,
        prev: BlobHash::take(&mut r)?,
        prev_expires: UnixMs::take(&mut r)?,
        seen: <Option<Seen> as Wire>::take(&mut r)?,
    };
    let codec = u8::take(&mut r)?;
    let body = r.bin()?;
    if r.rest().iter().any(|byte| *byte != 0) {
        return Err(SealError::Malformed);
    }
    let body = match codec {
        RAW if body.len() <= max_body => body.to_vec(),
        RAW => return Err(SealError::TooLarge),
        LZ4 => decompress(body, max_body)?,
        _ => return Err(SealError::Malformed),
    };
    Ok(Content { kind, place, body })
}

/// An LZ4 block behind its length as u32 LE; the length is checked before anything is allocated.
fn decompress(body: &[u8], max_body: usize) -> Result<Vec<u8>, SealError> {
    let (len, block) = lz4_flex::block::uncompressed_size(body).map_err(|_| SealError::Malformed)?;
    if len > max_body {
        return Err(SealError::TooLarge);
    }
    let out = lz4_flex::block::decompress(block, len).map_err(|_| SealError::Malformed)?;
    if out.len() == len { Ok(out) } else { Err(SealError::Malformed) }
}

/// Good contents, for tests that change them.
#[cfg(test)]
pub(crate) fn tests_corpus() -> Vec<Content> {
    let place = Place::first(ChainId([5; 16]));
    [&b""[..], b"text", &[b'a'; 900]]
        .into_iter()
        .map(|body| Content { kind: Kind::Data, place: place.clone(), body: body.to_vec() })
        .collect()
}

/// The same, encoded with and without compression.
#[cfg(test)]
pub(crate) fn tests_plaintexts() -> Vec<Vec<u8>> {
    let encode = |content: &Content| [false, true].map(|compress| encode(content, compress, 4_096));
    tests_corpus().iter().flat_map(encode).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};
    use sync_types::{Cursor, DeviceSecret, StoreId};

    use super::*;
    use crate::EpochSecret;

    const MAX: usize = 1 << 20;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([1; 32])
    }

    fn keys() -> EpochKeys {
        EpochSecret::from_bytes([7; 32]).keys()
    }

    fn context() -> BlobContext {
        let sender = DeviceSecret::from_bytes([2; 32]).id();
        BlobContext { group_id: keys().founds_group(), epoch: 3, sender, blob_id: BlobId([4; 16]) }
    }

    fn content(body: &[u8]) -> Content {
        let seen = Some(Seen { store_id: StoreId([1; 16]), cursor: Cursor::new(9).unwrap(), head: [2; 32] });
        let place = Place {
            chain_id: ChainId([5; 16]),
            seq: 6,
            prev: BlobHash([7; 32]),
            prev_expires: UnixMs(8),
            seen,
        };
        Content { kind: Kind::Data, place, body: body.to_vec() }
    }

    fn sealed(body: &[u8]) -> Vec<u8> {
        seal(&keys(), &context(), &content(body), &SealOptions::default(), &mut rng()).unwrap()
    }

    #[test]
    fn contents_of_every_size_come_back() {
        let mut noise = vec![0; MAX];
        rng().fill_bytes(&mut noise);
        for len in [0, 1, 127, 128, 129, 5_000, MAX] {
            for body in [&noise[..len], &vec![b'a'; len]] {
                assert_eq!(open(&keys(), &context(), &sealed(body), MAX), Ok(content(body)));
            }
        }
        assert!(sealed(&noise).len() <= DEFAULT_MAX_BLOB as usize);
        let more = [noise.as_slice(), &[0; 1024]].concat();
        let refused = seal(&keys(), &context(), &content(&more), &SealOptions::default(), &mut rng());
        assert_eq!(refused, Err(SealError::TooLarge));
    }

    #[test]
    fn short_texts_all_have_one_length() {
        assert_eq!(sealed(b"").len(), sealed(b"a text of some more characters").len());
    }

    #[test]
    fn compression_is_used_where_it_helps_and_only_if_asked() {
        let body = vec![b'a'; 10_000];
        assert!(sealed(&body).len() < 1_000);
        let options = SealOptions { compress: false, ..SealOptions::default() };
        let plain = seal(&keys(), &context(), &content(&body), &options, &mut rng()).unwrap();
        assert!(plain.len() > 10_000);
    }

    #[test]
    fn a_blob_is_bound_to_group_epoch_sender_and_id() {
        let sealed = sealed(b"x");
        let right = context();
        for wrong in [
            BlobContext { group_id: GroupId([0; 32]), ..right },
            BlobContext { sender: DeviceSecret::from_bytes([9; 32]).id(), ..right },
            BlobContext { blob_id: BlobId([0; 16]), ..right },
        ] {
            assert_eq!(open(&keys(), &wrong, &sealed, MAX), Err(SealError::Decrypt));
        }
        let wrong = BlobContext { epoch: 4, ..right };
        assert_eq!(open(&keys(), &wrong, &sealed, MAX), Err(SealError::WrongEpoch));
        let other = EpochSecret::from_bytes([8; 32]).keys();
        assert_eq!(open(&other, &right, &sealed, MAX), Err(SealError::Decrypt));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sealed = sealed(b"x");
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(open(&keys(), &context(), &changed, MAX).is_err(), "byte {i}");
        }
        for len in 0..sealed.len() {
            assert!(open(&keys(), &context(), &sealed[..len], MAX).is_err(), "{len} bytes");
        }
    }

    fn seal_plaintext(plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = [&[FORMAT][..], &3_u32.to_be_bytes()].concat();
        aead::seal(&keys().blob, &associated_data(&context()), plaintext, &mut rng(), &mut sealed).unwrap();
        sealed
    }

    #[test]
    fn a_members_malformed_content_is_refused_without_allocating() {
        let with = |codec, body: &[u8], tail: &[u8]| {
            let plaintext = [encode_with(&content(b""), codec, body).as_slice(), tail].concat();
            open(&keys(), &context(), &seal_plaintext(&plaintext), MAX)
        };
        assert_eq!(with(RAW, b"x", &[0; 9]), Ok(content(b"x")));
        assert_eq!(with(RAW, b"x", &[0, 0, 1]), Err(SealError::Malformed), "padding that is not zero");
        assert_eq!(with(2, b"x", &[]), Err(SealError::Malformed), "an unknown codec");
        assert_eq!(with(LZ4, &u32::MAX.to_le_bytes(), &[]), Err(SealError::TooLarge));
        assert_eq!(with(LZ4, &[9, 0, 0, 0, 0x10, b'a'], &[]), Err(SealError::Malformed), "a shorter body");
        assert_eq!(with(RAW, &vec![0; MAX + 1], &[]), Err(SealError::TooLarge));
        assert_eq!(open(&keys(), &context(), &seal_plaintext(b""), MAX), Err(SealError::Malformed));
        assert_eq!(claimed_epoch(&[9]), Err(SealError::UnknownFormat));
        assert_eq!(claimed_epoch(&[FORMAT, 0, 0, 0]), Err(SealError::Decrypt));
    }
}
