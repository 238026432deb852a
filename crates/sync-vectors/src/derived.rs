//! Malformed bytes that follow from well-formed ones by rule, for every value in every message.

use sync_types::DecodeError;

use crate::file::{Check, hex};

/// Breaks a well-formed encoding in every way that has a rule; each must be refused as that rule says.
pub(crate) fn check(good: &[u8], decode: impl Fn(&[u8]) -> Result<(), DecodeError>) -> Check {
    for (wrong, error) in malformed(good)? {
        match decode(&wrong) {
            Err(found) if found == error => {}
            result => {
                let shown = &wrong[..wrong.len().min(200)];
                return Err(format!("{} should be refused as {error:?}, gives {result:?}", hex(shown)));
            }
        }
    }
    Ok(())
}

fn malformed(good: &[u8]) -> Result<Vec<(Vec<u8>, DecodeError)>, String> {
    let mut cases = Vec::new();
    // Cut short: at every place, or near both ends of what is long.
    let near = |end: &usize| good.len() <= 4096 || *end < 64 || good.len() - end <= 64;
    let ends = (0..good.len()).filter(near);
    cases.extend(ends.map(|end| (good[..end].to_vec(), DecodeError::Truncated)));
    cases.push(([good, &[0xc0]].concat(), DecodeError::Trailing));

    let tokens = tokens(good)?;
    for token in &tokens {
        for (head, error) in token.wrong_heads() {
            let (before, after) = (&good[..token.start], &good[token.start + token.head_len..]);
            cases.push(([before, &head, after].concat(), error));
        }
    }
    // The outermost array with a value too many or too few.
    if let Some((Token { kind: Kind::Array, value, head_len: 1, .. }, rest)) = tokens.split_first() {
        let head = |n: u64| [0x90 | n as u8];
        if *value < 15 {
            cases.push(([&head(value + 1), &good[1..], &[0xc0]].concat(), DecodeError::WrongLength));
        }
        if *value > 1
            && let Some(last) = rest.iter().rfind(|token| token.depth == 1)
        {
            cases.push(([&head(value - 1), &good[1..last.start]].concat(), DecodeError::WrongLength));
        }
    }
    Ok(cases)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Bool,
    Nil,
    Bin,
    Str,
    Array,
}

/// One value, or the head of one that has others inside.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    /// Bytes of marker and length, or of the whole number.
    head_len: usize,
    /// The number itself, or the length of the string or array.
    value: u64,
    depth: usize,
}

impl Token {
    /// Other heads for the same content: longer forms of the same value, and other types.
    fn wrong_heads(&self) -> Vec<(Vec<u8>, DecodeError)> {
        let wide = |marker: u8, bytes: usize| {
            let fits = bytes == 8 || self.value >> (8 * bytes) == 0;
            let head = [&[marker], &self.value.to_be_bytes()[8 - bytes..]].concat();
            (fits && head.len() > self.head_len).then_some((head, DecodeError::NotShortest))
        };
        let signed = |marker: u8, bytes: usize| {
            let fits = self.value >> (8 * bytes - 1) == 0;
            let head = [&[marker], &self.value.to_be_bytes()[8 - bytes..]].concat();
            fits.then_some((head, DecodeError::NotShortest))
        };
        let wrong = |head: u8| Some((vec![head], DecodeError::WrongType));
        let found = match self.kind {
            Kind::Int => vec![
                wide(0xcc, 1),
                wide(0xcd, 2),
                wide(0xce, 4),
                wide(0xcf, 8),
                signed(0xd0, 1),
                signed(0xd1, 2),
                signed(0xd2, 4),
                signed(0xd3, 8),
                Some((vec![0xff], DecodeError::OutOfRange)),
                wrong(0xc3),
                wrong(0xca),
                wrong(0xc1),
            ],
            Kind::Bool => vec![wrong(0x00), wrong(0x01), wrong(0xc0)],
            Kind::Nil => vec![wrong(0xc2), wrong(0xc1)],
            Kind::Bin => {
                vec![wide(0xc5, 2), wide(0xc6, 4), wrong(0xd9), wrong(0xdc), wrong(0xc7), wrong(0x01)]
            }
            Kind::Str => vec![wide(0xd9, 1), wide(0xda, 2), wide(0xdb, 4), wrong(0xc4), wrong(0x91)],
            Kind::Array => vec![wide(0xdc, 2), wide(0xdd, 4), wrong(0x80), wrong(0xc4), wrong(0x01)],
        };
        found.into_iter().flatten().collect()
    }
}

/// The values of a well-formed encoding, from left to right.
fn tokens(bytes: &[u8]) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut open = Vec::new(); // Values that each open array still expects.
    let mut at = 0;
    while at < bytes.len() {
        let depth = open.len();
        let token = token(bytes, at, depth).ok_or("not MessagePack as the protocol uses it")?;
        at += token.head_len;
        if matches!(token.kind, Kind::Bin | Kind::Str) {
            at += usize::try_from(token.value).map_err(|e| e.to_string())?;
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if token.kind == Kind::Array {
            open.push(token.value);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn token(bytes: &[u8], start: usize, depth: usize) -> Option<Token> {
    let marker = *bytes.get(start)?;
    let number = |len: usize| {
        let digits = bytes.get(start + 1..start + 1 + len)?;
        Some(digits.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    let (kind, head_len, value) = match marker {
        0x00..=0x7f => (Kind::Int, 1, u64::from(marker)),
        0xcc..=0xcf => {
            let len = 1 << (marker - 0xcc);
            (Kind::Int, 1 + len, number(len)?)
        }
        0xc0 => (Kind::Nil, 1, 0),
        0xc2 | 0xc3 => (Kind::Bool, 1, 0),
        0xc4..=0xc6 => {
            let len = 1 << (marker - 0xc4);
            (Kind::Bin, 1 + len, number(len)?)
        }
        0xa0..=0xbf => (Kind::Str, 1, u64::from(marker & 0x1f)),
        0xd9..=0xdb => {
            let len = 1 << (marker - 0xd9);
            (Kind::Str, 1 + len, number(len)?)
        }
        0x90..=0x9f => (Kind::Array, 1, u64::from(marker & 0x0f)),
        0xdc | 0xdd => {
            let len = 2 << (marker - 0xdc);
            (Kind::Array, 1 + len, number(len)?)
        }
        _ => return None,
    };
    Some(Token { kind, start, head_len, value, depth })
}
