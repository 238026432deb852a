//! Phrases of six words, each one of 7,776: 77.5 bits.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

/// Words of a phrase.
pub const WORDS: usize = 6;

/// One word a line. Of the Electronic Frontier Foundation; see `words/README.md`.
const LIST: &str = include_str!("../words/eff_large.txt");
const LISTED: u16 = 7_776;
/// Room for six of the longest words, so that no half-written copy stays behind in memory.
const ROOM: usize = WORDS * 16;

/// What a typed phrase lacks. It does not repeat what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words than six.
    #[error("a recovery phrase has 6 words; these are {found}")]
    WordCount {
        /// How many there are.
        found: usize,
    },
    /// A word that is not in the list: mistyped.
    #[error("word {position} of the recovery phrase is not one of the list: is it mistyped?")]
    UnknownWord {
        /// Which word, from 1.
        position: usize,
    },
}

/// A new phrase: six words, in lower case, joined by one space.
pub fn generate_phrase(rng: &mut impl CryptoRngCore) -> Zeroizing<String> {
    let mut phrase = Zeroizing::new(String::with_capacity(ROOM));
    for n in 0..WORDS {
        if n > 0 {
            phrase.push(' ');
        }
        phrase.push_str(word(draw(rng)));
    }
    phrase
}

/// Reads a phrase as people type it, without regard to case, to what stands between the words (white
/// space or hyphens), and to whether a word's own hyphen is there; gives it as it was generated.
///
/// # Errors
/// [`PhraseError`], which names the first wrong word by its position.
pub fn parse_phrase(text: &str) -> Result<Zeroizing<String>, PhraseError> {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let parts = lower.split(|c: char| c == '-' || c.is_whitespace());
    let mut parts = parts.filter(|part| !part.is_empty()).peekable();
    let mut phrase = Zeroizing::new(String::with_capacity(ROOM));
    let mut found = 0;
    let mut unknown = None;
    while let Some(part) = parts.next() {
        found += 1;
        if found > WORDS {
            continue;
        }
        let Some(word) = listed(part, parts.peek().copied()) else {
            unknown = unknown.or(Some(found));
            continue;
        };
        if word.contains('-') {
            parts.next();
        }
        if found > 1 {
            phrase.push(' ');
        }
        phrase.push_str(word);
    }
    match unknown {
        _ if found != WORDS => Err(PhraseError::WordCount { found }),
        Some(position) => Err(PhraseError::UnknownWord { position }),
        None => Ok(phrase),
    }
}

/// The word that is `part`, or `part` and `next` around a hyphen. No word is the first part of another.
fn listed(part: &str, next: Option<&str>) -> Option<&'static str> {
    LIST.lines().find(|word| match word.split_once('-') {
        None => *word == part,
        Some((first, second)) => first == part && Some(second) == next,
    })
}

fn word(index: u16) -> &'static str {
    LIST.lines().nth(usize::from(index)).unwrap_or_default()
}

/// A number below 7,776, each as likely as the others.
fn draw(rng: &mut impl CryptoRngCore) -> u16 {
    const FAIR: u16 = u16::MAX - u16::MAX % LISTED;
    loop {
        let mut bytes = [0; 2];
        rng.fill_bytes(&mut bytes);
        let drawn = u16::from_be_bytes(bytes);
        if drawn < FAIR {
            return drawn % LISTED;
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_list_is_the_published_one() {
        let mut original = String::new();
        for (index, word) in LIST.lines().enumerate() {
            let rolls = [1296, 216, 36, 6, 1].map(|by| char::from(b'1' + (index / by % 6) as u8));
            original.extend(rolls);
            original.push_str(&format!("\t{word}\n"));
        }
        let published = "addd35536511597a02fa0a9ff1e5284677b8883b83e986e43f15a3db996b903e";
        assert_eq!(HEXLOWER.encode(&Sha256::digest(original)), published);
        assert_eq!(LIST.lines().count(), usize::from(LISTED));
    }

    #[test]
    fn no_word_with_a_hyphen_can_be_taken_for_two_words() {
        let firsts: Vec<_> = LIST.lines().filter_map(|word| word.split_once('-')).collect();
        assert_eq!(firsts.len(), 4);
        assert!(firsts.iter().all(|(first, _)| LIST.lines().all(|word| word != *first)));
    }

    #[test]
    fn generated_phrases_are_read_again_however_they_are_typed() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let phrase = generate_phrase(&mut rng);
            assert_eq!(phrase.split(' ').count(), WORDS);
            assert_eq!(parse_phrase(&phrase).unwrap(), phrase);
            assert_eq!(parse_phrase(&phrase.to_uppercase().replace(' ', "-")).unwrap(), phrase);
            assert_eq!(parse_phrase(&format!("\n{} ", phrase.replace([' ', '-'], " \t"))).unwrap(), phrase);
            assert!(seen.insert(phrase.to_string()));
        }
    }

    #[test]
    fn what_is_no_phrase_says_what_is_wrong_and_not_what_was_typed() {
        let refused = |text: &str| parse_phrase(text).unwrap_err();
        assert_eq!(refused(""), PhraseError::WordCount { found: 0 });
        assert_eq!(refused("abacus abdomen zoom zit zit"), PhraseError::WordCount { found: 5 });
        assert_eq!(refused("abacus abdomen zoom zit zit zit zit"), PhraseError::WordCount { found: 7 });
        let error = refused("abacus xylograph zoom zit zit qwerty");
        assert_eq!(error, PhraseError::UnknownWord { position: 2 });
        assert!(!error.to_string().contains("xylograph"));
        assert_eq!(refused("yo-yo yo-yo yo yo zit zit yo"), PhraseError::UnknownWord { position: 6 });
    }

    #[test]
    fn every_word_can_be_drawn_and_none_is_favoured() {
        let mut counts = vec![0_u32; usize::from(LISTED)];
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        for _ in 0..LISTED as u32 * 200 {
            counts[usize::from(draw(&mut rng))] += 1;
        }
        // 200 expected each; six standard deviations away is no chance.
        assert!(counts.iter().all(|count| (115..=285).contains(count)));
    }
}
