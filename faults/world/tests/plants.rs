//! The check finds what it is for, when it is planted.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use sync_faults::check::Violation;
use sync_faults::suite::plants;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sync-faults"))
}

fn alarm(violations: &[Violation], of: &str) -> bool {
    violations.iter().any(|found| matches!(found, Violation::Alarm { what, .. } if what.starts_with(of)))
}

#[tokio::test]
async fn a_relay_that_acknowledges_before_it_commits_is_found() {
    let (at_once, healed) = plants::ack_before_commit(program()).await.unwrap();
    assert!(at_once.iter().any(|found| matches!(found, Violation::Lost(_))), "{at_once:?}");
    assert!(alarm(&healed, "RelayReset"), "{healed:?}");
}

#[tokio::test]
async fn a_cursor_that_is_used_twice_is_found() {
    let found = plants::reused_cursor(program()).await.unwrap();
    assert!(found.iter().any(|found| matches!(found, Violation::CursorReused(_))), "{found:?}");
}

#[tokio::test]
async fn a_push_that_the_outbox_forgets_is_found() {
    let found = plants::dropped_outbox_row(program()).await.unwrap();
    assert!(found.iter().any(|found| matches!(found, Violation::NotSent(_))), "{found:?}");
    assert!(found.iter().any(|found| matches!(found, Violation::NotRead { .. })), "{found:?}");
}

#[tokio::test]
async fn a_reader_that_acknowledges_before_it_writes_is_found() {
    let found = plants::ack_before_journal(program()).await.unwrap();
    assert!(found.iter().any(|found| matches!(found, Violation::NotRead { .. })), "{found:?}");
}
