//! The devices of a group, as members tell each other.

use sync_types::wire::{DecodeError, Reader, Wire, Writer, put_list, take_list};
use sync_types::{BlobHash, ChainId, DeviceId, record};

use crate::{DeviceName, MAX_PLATFORM};

/// Most chains of one device that a roster speaks of.
pub const MAX_TIPS: usize = 16;

record! {
    /// The newest blob of one chain of a device, as far as whoever says so has read.
    pub struct Tip {
        /// The chain.
        chain_id: ChainId,
        /// The blob's place in it.
        seq: u64,
        /// The blob's hash.
        hash: BlobHash,
    }
}

/// One device of a group: `[device_id, name or nil, platform, tips]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterEntry {
    /// The device.
    pub device_id: DeviceId,
    /// Its name; left out of an invite that would grow too large.
    pub name: Option<DeviceName>,
    /// What it runs on; at most 32 bytes.
    pub platform: String,
    /// The newest blob of each of its chains; at most [`MAX_TIPS`], no chain twice.
    pub tips: Vec<Tip>,
}

impl Wire for RosterEntry {
    fn put(&self, w: &mut Writer) {
        w.array(4);
        self.device_id.put(w);
        self.name.put(w);
        self.platform.put(w);
        put_list(&self.tips, w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array(4)?;
        let device_id = DeviceId::take(r)?;
        let name = <Option<DeviceName> as Wire>::take(r)?;
        let platform = r.str()?;
        if platform.len() > MAX_PLATFORM {
            return Err(DecodeError::TooLarge);
        }
        let platform = platform.to_owned();
        let tips: Vec<Tip> = take_list(r, MAX_TIPS)?;
        let repeats = |i: usize| tips[..i].iter().any(|tip| tip.chain_id == tips[i].chain_id);
        if (0..tips.len()).any(repeats) {
            return Err(DecodeError::Unordered);
        }
        Ok(Self { device_id, name, platform, tips })
    }
}

#[cfg(test)]
mod tests {
    use sync_types::wire::{decode, encode};

    use super::*;

    fn entry(chains: &[u8]) -> RosterEntry {
        let tip = |n: &u8| Tip { chain_id: ChainId([*n; 16]), seq: 7, hash: BlobHash([1; 32]) };
        RosterEntry {
            device_id: DeviceId::from_bytes([2; 32]).unwrap(),
            name: DeviceName::new("ada"),
            platform: "linux".to_owned(),
            tips: chains.iter().map(tip).collect(),
        }
    }

    #[test]
    fn entries_have_exact_bytes() {
        let bytes = [
            b"\x94\xc4\x20".as_slice(),
            &[2; 32],
            b"\xa3ada\xa5linux\x91\x93\xc4\x10",
            &[3; 16],
            b"\x07\xc4\x20",
            &[1; 32],
        ]
        .concat();
        assert_eq!(encode(&entry(&[3])), bytes);
        assert_eq!(decode(&bytes), Ok(entry(&[3])));
        let nameless = RosterEntry { name: None, ..entry(&[]) };
        assert_eq!(decode(&encode(&nameless)), Ok(nameless));
    }

    #[test]
    fn malformed_entries_are_refused() {
        let refused = |entry: &RosterEntry| decode::<RosterEntry>(&encode(entry)).err();
        let chains: Vec<u8> = (0..=MAX_TIPS as u8).collect();
        assert_eq!(refused(&entry(&chains[1..])), None);
        assert_eq!(refused(&entry(&chains)), Some(DecodeError::TooLarge));
        assert_eq!(refused(&entry(&[3, 4, 3])), Some(DecodeError::Unordered));
        let platform = "x".repeat(MAX_PLATFORM + 1);
        assert_eq!(refused(&RosterEntry { platform, ..entry(&[]) }), Some(DecodeError::TooLarge));
        assert_eq!(decode::<RosterEntry>(&[0x93]), Err(DecodeError::Truncated));
    }
}
