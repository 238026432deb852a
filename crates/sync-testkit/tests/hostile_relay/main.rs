//! What real clients make of a relay that lies.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm)]

mod honest;
mod tools;
