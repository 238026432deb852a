//! What real clients make of a relay that lies.
//!
//! Every attack has to end in a typed event or error on some device, in no silent loss, in nothing
//! attributed to the wrong device, and in no plain text at the relay; and once the relay is honest
//! again, so is the rest ([`World::goes_on`](sync_testkit::liar::World::goes_on)).
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm)]

mod answers;
mod fork;
mod honest;
mod log;
mod removed;
mod reset;
mod rotation;
mod tools;
