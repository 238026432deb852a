//! What one end says to a person at the other.

/// Most characters of it that are shown.
const MAX_SHOWN: usize = 500;

/// The words of a relay, or of what stands before it, as they may be shown anywhere: cut short, and without characters that
/// steer a terminal or turn the direction of writing.
pub fn shown(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(MAX_SHOWN).map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_not_shown_and_what_is_long_is_cut() {
        assert_eq!(shown("full: ask Zoë, 日本 🦊"), "full: ask Zoë, 日本 🦊");
        assert_eq!(
            shown("a\u{1b}]52;c;x\u{7}\r\nb\u{9b}2J"),
            "a\u{fffd}]52;c;x\u{fffd}\u{fffd}\u{fffd}b\u{fffd}2J"
        );
        assert_eq!(shown("\u{202e}t\u{2028}t\u{61c}"), "\u{fffd}t\u{fffd}t\u{fffd}");
        assert_eq!(shown(&"x".repeat(9_999)).len(), MAX_SHOWN);
    }
}
