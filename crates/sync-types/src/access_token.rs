//! What a device shows to a relay that makes groups only for those it knows.

use core::fmt;

use zeroize::Zeroizing;

use crate::wire::{DecodeError, Reader, Wire, Writer};

/// A relay owner's word to let somebody make a group. A secret between the two.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// The token itself.
    pub fn expose_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AccessToken {
    fn from(token: String) -> Self {
        Self(Zeroizing::new(token))
    }
}

impl From<&str> for AccessToken {
    fn from(token: &str) -> Self {
        token.to_owned().into()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

impl Wire for AccessToken {
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        String::take(r).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", AccessToken::from("sesame")), "AccessToken(…)");
    }
}
