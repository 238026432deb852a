//! Control blobs: what members tell each other about the group itself.

use sync_types::wire::{DecodeError, Reader, Wire, Writer};

use crate::DeviceName;

/// Longest platform name, in bytes.
pub const MAX_PLATFORM: usize = 32;

/// The body of a control blob. Its sender is the device that it speaks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// `[1, name, platform]`: this device is part of the group.
    Announce {
        /// What people call it.
        name: DeviceName,
        /// What it runs on: `linux`, `web` …; at most 32 bytes.
        platform: String,
    },
    /// `[2]`: this device goes for good.
    Leave,
}

impl Wire for Control {
    fn put(&self, w: &mut Writer) {
        match self {
            Self::Announce { name, platform } => {
                w.array(3);
                1_u8.put(w);
                name.put(w);
                platform.put(w);
            }
            Self::Leave => {
                w.array(1);
                2_u8.put(w);
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = r.array_len()?;
        match (u8::take(r)?, len) {
            (1, 3) => {
                let name = DeviceName::take(r)?;
                let platform = r.str()?;
                if platform.len() > MAX_PLATFORM {
                    return Err(DecodeError::TooLarge);
                }
                Ok(Self::Announce { name, platform: platform.to_owned() })
            }
            (2, 1) => Ok(Self::Leave),
            (1 | 2, _) => Err(DecodeError::WrongLength),
            _ => Err(DecodeError::UnknownType),
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_types::wire::{decode, encode};

    use super::*;

    #[test]
    fn control_bodies_have_exact_bytes() {
        let announce =
            Control::Announce { name: DeviceName::new("ada").unwrap(), platform: "linux".to_owned() };
        assert_eq!(encode(&announce), b"\x93\x01\xa3ada\xa5linux");
        assert_eq!(decode(&encode(&announce)), Ok(announce));
        assert_eq!(encode(&Control::Leave), [0x91, 2]);
        assert_eq!(decode(&[0x91, 2]), Ok(Control::Leave));
    }

    #[test]
    fn malformed_control_bodies_are_refused() {
        assert_eq!(decode::<Control>(&[0x91, 9]), Err(DecodeError::UnknownType));
        assert_eq!(decode::<Control>(&[0x92, 2, 0]), Err(DecodeError::WrongLength));
        assert_eq!(decode::<Control>(b"\x93\x01\xa0\xa5linux"), Err(DecodeError::OutOfRange));
        let long = [b"\x93\x01\xa3ada\xd9\x21".as_slice(), &[b'x'; 33]].concat();
        assert_eq!(decode::<Control>(&long), Err(DecodeError::TooLarge));
        assert_eq!(decode::<Control>(b""), Err(DecodeError::Truncated));
    }
}
