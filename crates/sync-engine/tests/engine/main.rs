//! What an engine does when its relay, its disk or its user does something unusual.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, clippy::wildcard_enum_match_arm)]

mod common;
mod link;
mod membership;
mod outbox;
mod reading;
mod steps;
