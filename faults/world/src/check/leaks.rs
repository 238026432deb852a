//! Whether anybody who has all of a relay's files can read anything.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::Violation;

/// Bytes of a secret that count as it.
const WINDOW: usize = 16;

/// What must not be readable anywhere.
#[derive(Debug, Default)]
pub struct Secrets {
    texts: HashSet<[u8; WINDOW]>,
    keys: HashSet<[u8; WINDOW]>,
    /// Which windows' first bytes there are: nearly all others are passed over by it.
    begins: HashSet<u32>,
}

impl Secrets {
    /// Something that was pushed: no 16 bytes of it.
    pub fn text(&mut self, text: &[u8]) {
        self.texts.extend(windows(text));
        self.begins.extend(windows(text).map(|window| begin(&window)));
    }

    /// A secret key, as it is or as text.
    pub fn key(&mut self, key: &[u8]) {
        for form in [key.to_vec(), HEXLOWER.encode(key).into(), BASE64URL_NOPAD.encode(key).into()] {
            self.keys.extend(windows(&form));
            self.begins.extend(windows(&form).map(|window| begin(&window)));
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<&'static str> {
        // As a table: most of a file is none of ours.
        let mut table = vec![false; 1 << 16];
        self.begins.iter().for_each(|begin| table[slot(*begin)] = true);
        windows(bytes).filter(|window| table[slot(begin(window))]).find_map(|window| {
            if self.keys.contains(&window) {
                Some("a group's secret")
            } else {
                self.texts.contains(&window).then_some("what was pushed")
            }
        })
    }
}

fn windows(bytes: &[u8]) -> impl Iterator<Item = [u8; WINDOW]> {
    bytes.windows(WINDOW).filter_map(|window| window.try_into().ok())
}

fn begin(window: &[u8; WINDOW]) -> u32 {
    u32::from_be_bytes([window[0], window[1], window[2], window[3]])
}

fn slot(begin: u32) -> usize {
    (begin.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// Reads every file of a folder.
pub fn leaks(folder: &Path, secrets: &Secrets) -> io::Result<Vec<Violation>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_file()
            && let Some(what) = secrets.find(&std::fs::read(&path)?)
        {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Violation::Readable { file, what });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_and_a_text_in_its_middle() {
        let mut secrets = Secrets::default();
        secrets.text(b"the text that was pushed by somebody");
        let key: Vec<u8> = (0..32).map(|n| n * 7 + 1).collect();
        secrets.key(&key);
        let folder = tempfile::tempdir().unwrap();
        let told = |bytes: &[u8]| {
            std::fs::write(folder.path().join("file"), [&[0xff; 100], bytes, &[0xff; 100]].concat()).unwrap();
            leaks(folder.path(), &secrets).unwrap()
        };
        assert_eq!(told(b"nothing of the kind is in here, whatever it says"), []);
        let of = |what| [Violation::Readable { file: "file".to_owned(), what }];
        assert_eq!(told(b"that was pushed "), of("what was pushed"));
        for form in [key.clone(), HEXLOWER.encode(&key).into(), BASE64URL_NOPAD.encode(&key).into()] {
            assert_eq!(told(&form), of("a group's secret"));
        }
    }
}
