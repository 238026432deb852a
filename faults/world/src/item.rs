//! What writers push: texts that can be known again, made of nothing but a number.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Longest tail of a text, in words of 16 digits.
const MAX_TAIL: u64 = 40;

/// The number of a writer within its world.
pub type WriterNo = u32;

/// One thing that is pushed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Who pushes it.
    pub writer: WriterNo,
    /// Its place among those of its writer, from 1.
    pub number: u64,
}

impl Item {
    /// What is pushed. The marker is the world's own: wherever it stands, somebody could read it.
    pub fn text(self, marker: &str) -> String {
        let mut rng = ChaCha8Rng::seed_from_u64((u64::from(self.writer) << 40) ^ self.number);
        let mut text = format!("{marker} {} {}", self.writer, self.number);
        for _ in 0..rng.next_u64() % MAX_TAIL {
            let _ = write!(text, " {:016x}", rng.next_u64());
        }
        text
    }

    /// What was pushed, if it is that to the last byte.
    pub fn read(marker: &str, data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let mut words = text.strip_prefix(marker)?.split_ascii_whitespace();
        let item = Self { writer: words.next()?.parse().ok()?, number: words.next()?.parse().ok()? };
        (item.text(marker) == text).then_some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_again_and_nothing_else_is() {
        let item = Item { writer: 3, number: 70 };
        let text = item.text("marker");
        assert_eq!(Item::read("marker", text.as_bytes()), Some(item));
        assert_eq!(Item::read("another", text.as_bytes()), None);
        assert_eq!(Item::read("marker", format!("{text} more").as_bytes()), None);
        let last = text.len() - 1;
        assert_eq!(Item::read("marker", &text.as_bytes()[..last]), None);
    }
}
