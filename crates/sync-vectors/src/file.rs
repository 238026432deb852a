//! What all files of vectors have in common.

use core::fmt;
use std::collections::VecDeque;

use data_encoding::HEXLOWER;
use rand_core::{CryptoRng, RngCore};
use serde_json::Value;

/// What a case says when it fails.
pub(crate) type Check = Result<(), String>;

/// One file of vectors.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its name in `vectors/`.
    pub name: &'static str,
    /// What it holds: JSON.
    pub text: &'static str,
    check: fn(&mut Cases<'_>) -> Check,
}

macro_rules! file {
    ($name:literal, $check:path) => {
        File { name: $name, text: include_str!(concat!("../../../vectors/", $name)), check: $check }
    };
}

/// All of them.
pub const FILES: &[File] = &[
    file!("codec.json", crate::codec::check),
    file!("text.json", crate::text::check),
    file!("keylog.json", crate::keylog::check),
    file!("channel.json", crate::channel::check),
    file!("sealed.json", crate::sealed::check),
    file!("rotation.json", crate::rotation::check),
    file!("recovery.json", crate::recovery::check),
    file!("chain.json", crate::chain::check),
];

/// A case that did not give what its file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub file: &'static str,
    /// What the file calls the case.
    pub case: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file, self.case, self.what)
    }
}

impl File {
    /// Checks every case; gives how many there are.
    pub fn check(&self) -> Result<usize, Vec<Failure>> {
        let fail = |case: &str, what| Failure { file: self.name, case: case.to_owned(), what };
        let root = self.json().map_err(|what| vec![fail("the file", what)])?;
        let mut cases = Cases { root: &root, count: 0, failures: Vec::new() };
        if let Err(what) = (self.check)(&mut cases) {
            cases.failures.push(("the file".to_owned(), what));
        }
        match cases.failures[..] {
            [] => Ok(cases.count),
            _ => Err(cases.failures.into_iter().map(|(case, what)| fail(&case, what)).collect()),
        }
    }

    /// The same checks for other content: for showing that they notice it.
    pub fn with_text(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    /// The file as JSON.
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(self.text).map_err(|e| e.to_string())
    }
}

/// The cases of one file, and what became of them.
pub(crate) struct Cases<'a> {
    pub(crate) root: &'a Value,
    count: usize,
    failures: Vec<(String, String)>,
}

impl<'a> Cases<'a> {
    /// Checks each case of a list, which must not be empty.
    pub(crate) fn each(&mut self, list: &'a Value, check: impl Fn(&'a Value) -> Check) -> Check {
        let list = list.as_array().filter(|list| !list.is_empty()).ok_or("a list of cases is missing")?;
        for case in list {
            self.count += 1;
            if let Err(what) = check(case) {
                let name = str(case, "case").unwrap_or("a case without a name");
                self.failures.push((name.to_owned(), what));
            }
        }
        Ok(())
    }
}

/// A field that is a string.
pub(crate) fn str<'a>(case: &'a Value, field: &str) -> Result<&'a str, String> {
    case[field].as_str().ok_or_else(|| format!("no string {field}"))
}

/// A field that is a number.
pub(crate) fn number(case: &Value, field: &str) -> Result<u64, String> {
    case[field].as_u64().ok_or_else(|| format!("no number {field}"))
}

/// A field that is bytes.
pub(crate) fn bytes(case: &Value, field: &str) -> Result<Vec<u8>, String> {
    unhex(str(case, field)?)
}

/// A field that is a fixed number of bytes.
pub(crate) fn array<const N: usize>(case: &Value, field: &str) -> Result<[u8; N], String> {
    bytes(case, field)?.try_into().map_err(|_| format!("{field} has not {N} bytes"))
}

/// Bytes in hexadecimal; `0a0b*300` is 300 times 0a0b, and spaces stand between parts.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for part in text.split_whitespace() {
        let (hex, times) = part.split_once('*').unwrap_or((part, "1"));
        let once = HEXLOWER.decode(hex.as_bytes()).map_err(|e| format!("{part}: {e}"))?;
        let times = times.parse().map_err(|_| format!("{part}: not a number"))?;
        bytes.extend(core::iter::repeat_n(once, times).flatten());
    }
    Ok(bytes)
}

/// Bytes as hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Fails unless both are the same.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Check {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} and should be {expected:?}")) }
}

/// Fails unless `result` is the error that the case names.
pub(crate) fn refused<T: fmt::Debug, E: fmt::Debug>(case: &Value, result: Result<T, E>) -> Check {
    let expected = str(case, "error")?;
    match result {
        Ok(value) => Err(format!("accepted as {value:?}, should be refused as {expected}")),
        Err(error) => same("the error", format!("{error:?}").as_str(), expected),
    }
}

/// "Random" bytes that a case names: the one thing that makes sealing another thing each time.
pub(crate) struct Drawn(VecDeque<u8>);

impl Drawn {
    pub(crate) fn new(case: &Value, field: &str) -> Result<Self, String> {
        bytes(case, field).map(|bytes| Self(bytes.into()))
    }
}

impl RngCore for Drawn {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        // Zeros past the end are not what the case expects.
        dest.fill_with(|| self.0.pop_front().unwrap_or_default());
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Drawn {}
