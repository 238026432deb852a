//! A short run of every kind of fault; `cargo xtask faults` makes a long one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use sync_faults::suite::{asleep, backup, clocks, kills, network};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sync-faults"))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_relay_and_apps_are_killed() {
    let done = kills::run(program(), 1, 30).await.unwrap();
    assert!(done.relays >= 10 && done.apps >= 10 && done.sums.acked >= 100, "{done:?}");
}

#[tokio::test]
async fn everything_arrives_once_through_lines_that_are_cut_torn_and_doubled() {
    let done = network::run(program(), 1, 60).await.unwrap();
    assert!(done.doubled >= 5 && done.refused > 0 && done.sums.acked >= 100, "{done:?}");
}

#[tokio::test]
async fn clocks_a_year_off_lose_nothing_and_invites_work_or_say_why_not() {
    assert_eq!(clocks::run(program()).await.unwrap().queued, 16 * 50);
}

#[tokio::test]
async fn devices_that_slept_for_hours_notice_and_catch_up() {
    assert!(asleep::run(program(), 1).await.unwrap().queued >= 120);
}

#[tokio::test]
async fn an_old_copy_of_the_relay_is_noticed_and_healed() {
    for way in [backup::Way::Restore, backup::Way::RawCopy] {
        assert_eq!(backup::run(program(), way).await.unwrap().queued, 180);
    }
}
