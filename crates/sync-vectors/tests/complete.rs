//! Every type that crosses the wire has bytes that are accepted and bytes that are refused.
#![allow(clippy::unwrap_used, missing_docs)]

use sync_vectors::{FILES, covered_types, known_types};

#[test]
fn every_message_has_accepted_and_refused_vectors() {
    let known: Vec<_> = known_types().collect();
    assert!(known.len() > 20, "the registry of messages was not found");
    let mut covered = covered_types().unwrap();
    covered.sort_unstable();
    assert_eq!(covered, known, "message types in vectors/codec.json, and message types that exist");
}

#[test]
fn every_other_format_has_accepted_and_refused_vectors() {
    for (file, groups) in [
        ("codec.json", &["envelopes"][..]),
        (
            "text.json",
            &[
                "invite_codes",
                "lookup_keys",
                "device_ids",
                "join_links",
                "app_urls",
                "relay_urls",
                "relay_addresses",
            ],
        ),
        ("keylog.json", &["logs", "continuations", "proofs"]),
        ("sealed.json", &["blobs", "names", "controls", "invites"]),
        ("rotation.json", &["one_way", "payloads", "rotations", "lockboxes", "signatures"]),
        ("recovery.json", &["phrases", "files"]),
        ("chain.json", &["heads", "chains", "cuts"]),
    ] {
        let json = FILES.iter().find(|f| f.name == file).unwrap().json().unwrap();
        for group in groups {
            for list in ["accepted", "refused"] {
                let cases = json[group][list].as_array().map_or(0, Vec::len);
                assert!(cases > 0, "{file} has nothing in {group}.{list}");
            }
        }
    }
}
