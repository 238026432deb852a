//! How strong a passphrase has to be before a group hangs on it.

use std::fmt;

use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// Fewest characters of a passphrase, white space around it not counted.
pub const MIN_PASSPHRASE: usize = 12;

/// A group's name and its passphrase, strong enough. White space around either does not count.
pub struct PassphraseGroup {
    name: String,
    passphrase: Zeroizing<String>,
}

/// Why no group can be made of a name and a passphrase.
///
/// The relay holds what a passphrase opens, and can try one passphrase after another without asking
/// anybody. Against that stands only the passphrase itself, and 64 MiB and 0.2 s for each attempt. A group
/// that is made by pushing or inviting has a random key of 256 bits: where devices can be invited, that is
/// the better group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// The group has no name. It keeps guesses at one group from counting against all others.
    #[error("a passphrase group needs a name, the same on all its devices")]
    NoName,
    /// Too few characters.
    #[error("the passphrase has {found} characters and needs at least {MIN_PASSPHRASE}; {WHY}")]
    TooShort {
        /// How many it has.
        found: usize,
    },
    /// Long enough, and still among what is tried first.
    #[error("the passphrase is too easy to guess{}; {WHY}", because(hint))]
    TooWeak {
        /// What makes it weak, or would make it stronger, in English; it repeats nothing of it.
        hint: String,
    },
}

const WHY: &str = "the relay can try passphrases without asking anybody, so take several words that do not \
    belong together, or better: make a group with a random key, which nobody can guess, and invite the other \
    devices";

impl PassphraseGroup {
    /// Measures the passphrase (by zxcvbn; at least 12 characters, and 3 of 4 points).
    pub fn new(name: &str, passphrase: &str) -> Result<Self, PassphraseError> {
        let (name, passphrase) = (name.trim(), passphrase.trim());
        if name.is_empty() {
            return Err(PassphraseError::NoName);
        }
        let found = passphrase.chars().count();
        if found < MIN_PASSPHRASE {
            return Err(PassphraseError::TooShort { found });
        }
        let measured = zxcvbn(passphrase, &[name]);
        if measured.score() < Score::Three {
            let warning = measured.feedback().and_then(|feedback| feedback.warning());
            let hint = warning.map(|warning| warning.to_string()).unwrap_or_default();
            return Err(PassphraseError::TooWeak { hint });
        }
        Ok(Self { name: name.to_owned(), passphrase: Zeroizing::new(passphrase.to_owned()) })
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn expose_passphrase(&self) -> &str {
        &self.passphrase
    }
}

/// Shows the name only.
impl fmt::Debug for PassphraseGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassphraseGroup").field("name", &self.name).finish_non_exhaustive()
    }
}

fn because(hint: &str) -> String {
    let hint = hint.trim_end_matches('.');
    if hint.is_empty() { String::new() } else { format!(" ({hint})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_ones_are_taken_and_weak_ones_say_why_and_what_is_better() {
        let group = PassphraseGroup::new(" home ", " orbit walnut staple quiz\n").unwrap();
        assert_eq!((group.name(), group.expose_passphrase()), ("home", "orbit walnut staple quiz"));
        let refused = |name, passphrase| PassphraseGroup::new(name, passphrase).unwrap_err();
        assert_eq!(refused("home", "  x7#pQ9!vLz2  "), PassphraseError::TooShort { found: 11 });
        assert_eq!(refused(" ", "orbit walnut staple quiz"), PassphraseError::NoName);
        for weak in ["password1234", "aaaaaaaaaaaaaaaaaaaa", "qwertyuiopasdf", "123456789012345"] {
            let error = refused("home", weak);
            assert!(matches!(error, PassphraseError::TooWeak { .. }), "{weak}: {error}");
            let text = error.to_string();
            assert!(text.contains("random key") && !text.contains(weak), "{text}");
        }
        // Whoever knows the group's name tries it first.
        let name = "wuthering-depths-of-brine";
        assert!(PassphraseGroup::new("home", name).is_ok());
        assert!(matches!(refused(name, name), PassphraseError::TooWeak { .. }));
    }

    #[test]
    fn nothing_shows_a_passphrase() {
        let group = PassphraseGroup::new("home", "orbit walnut staple quiz").unwrap();
        assert!(!format!("{group:?}").contains("walnut"));
    }
}
