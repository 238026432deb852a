//! Sizes and times as people write them in a settings file: `1048576` or `"1MiB"`, `604800` or `"7d"`.

use core::fmt;
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A text that is not a number with a known unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number, perhaps with a unit: {0}")]
pub struct UnitError(&'static str);

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $expected:literal, [$($suffix:literal = $factor:expr),*]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                let text = text.trim();
                let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                let (number, suffix) = text.split_at(digits);
                let factor: u64 = match suffix.trim().to_ascii_lowercase().as_str() {
                    $($suffix => $factor,)*
                    _ => return Err(UnitError($expected)),
                };
                let number: u64 = number.parse().map_err(|_| UnitError($expected))?;
                number.checked_mul(factor).map(Self).ok_or(UnitError($expected))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reads;
                impl Visitor<'_> for Reads {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a whole number, perhaps with a unit: ", $expected))
                    }
                    fn visit_u64<E: Error>(self, value: u64) -> Result<$name, E> {
                        Ok($name(value))
                    }
                    fn visit_i64<E: Error>(self, value: i64) -> Result<$name, E> {
                        let unexpected = || E::invalid_value(Unexpected::Signed(value), &self);
                        u64::try_from(value).map($name).map_err(|_| unexpected())
                    }
                    fn visit_str<E: Error>(self, value: &str) -> Result<$name, E> {
                        value.parse().map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
                    }
                }
                deserializer.deserialize_any(Reads)
            }
        }
    };
}

unit!(
    /// Bytes.
    ByteSize, "B, KiB, MiB, GiB (KB, MB and GB mean the same)",
    ["" = 1, "b" = 1, "kib" = 1 << 10, "kb" = 1 << 10, "mib" = 1 << 20, "mb" = 1 << 20, "gib" = 1 << 30, "gb" = 1 << 30]
);
unit!(
    /// Seconds.
    Seconds, "s, m, h, d",
    ["" = 1, "s" = 1, "m" = 60, "h" = 3600, "d" = 86_400]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_units() {
        assert_eq!("5".parse(), Ok(ByteSize(5)));
        assert_eq!("2 MiB".parse(), Ok(ByteSize(2 << 20)));
        assert_eq!("2mb".parse(), Ok(ByteSize(2 << 20)));
        assert_eq!("7d".parse(), Ok(Seconds(604_800)));
        for wrong in ["", "d", "-1", "1.5h", "7 years", "99999999999999999999", "20000000000GiB"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}
