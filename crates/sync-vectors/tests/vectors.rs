//! The files of test vectors, natively. In WebAssembly the binary `check-vectors` does the same.
#![allow(clippy::unwrap_used, missing_docs)]

use sync_vectors::{FILES, File};

fn check(name: &str) {
    let file: &File = FILES.iter().find(|file| file.name == name).unwrap();
    match file.check() {
        Ok(cases) => assert!(cases > 20, "{name} has only {cases} cases"),
        Err(failures) => {
            let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
            panic!("{} cases fail:\n{}", lines.len(), lines.join("\n"));
        }
    }
}

#[test]
fn messages_and_envelopes_are_these_bytes_and_no_others() {
    check("codec.json");
}

#[test]
fn codes_links_and_addresses_are_read_like_this() {
    check("text.json");
}

#[test]
fn key_logs_and_proofs_verify_or_not() {
    check("keylog.json");
}

#[test]
fn handshakes_and_frames_are_these_bytes() {
    check("channel.json");
}

#[test]
fn what_is_sealed_opens_for_members_and_only_there() {
    check("sealed.json");
}

#[test]
fn rotations_are_read_by_members_who_stay_and_by_nobody_else() {
    check("rotation.json");
}

#[test]
fn groups_come_back_from_words() {
    check("recovery.json");
}

#[test]
fn chains_heads_and_cuts_are_followed_like_this() {
    check("chain.json");
}

#[test]
fn a_file_whose_bytes_were_changed_fails() {
    for file in FILES {
        let json = file.json().unwrap();
        assert!(json.is_object());
        // One hexadecimal digit of the first accepted bytes; a file that does not notice checks nothing.
        let at = file.text.find("\"accepted\"").unwrap();
        let field =
            ["\"bytes\": \"", "\"second\": \"", "\"sealed\": \"", "\"canonical\": \"", "\"head\": \""]
                .iter()
                .filter_map(|f| file.text[at..].find(f).map(|i| i + f.len()));
        let digit = at + field.min().unwrap() + 4;
        let old = &file.text[digit..=digit];
        let new = if old == "0" { "1" } else { "0" };
        let text = [&file.text[..digit], new, &file.text[digit + 1..]].concat();
        let changed = file.with_text(text.leak());
        assert!(changed.check().is_err(), "{} does not notice a changed digit", file.name);
    }
}
