//! Databases through power cuts: a short run, and mistakes that it must find.
#![allow(clippy::unwrap_used, missing_docs)]

use sync_faults_disk::Violation;
use sync_faults_disk::relay::{Cut, Life, Plant, Settings};

async fn life(seed: u64, plant: Option<Plant>) -> (tempfile::TempDir, Life) {
    let folder = tempfile::tempdir().unwrap();
    let life = Life::lived(folder.path(), Settings { seed, batches: 120, plant }).await.unwrap();
    (folder, life)
}

#[tokio::test]
async fn what_a_relay_has_acknowledged_survives_every_power_cut() {
    for seed in 0..4 {
        let (folder, life) = life(seed, None).await;
        println!("{} {:?}", life.steps(), life.done());
        for n in 0..50 {
            let cut = Cut { seed: n, again: n % 4 == 0 };
            life.cut(folder.path(), cut).await.unwrap_or_else(|found| panic!("life {seed}, cut {n}: {found}"));
        }
    }
}

/// What the cuts find in a life with a mistake in it.
async fn found(plant: Plant) -> Vec<Violation> {
    let (folder, life) = life(1, Some(plant)).await;
    let mut found = Vec::new();
    for n in 0..100 {
        found.extend(life.cut(folder.path(), Cut { seed: n, again: false }).await.err());
    }
    found
}

#[tokio::test]
async fn commits_that_do_not_wait_for_the_disk_are_found() {
    let found = found(Plant::SynchronousNormal).await;
    assert!(found.iter().any(|found| matches!(found, Violation::LostPush { .. })), "{found:?}");
}

#[tokio::test]
async fn an_answer_before_the_commit_is_found() {
    let found = found(Plant::AckBeforeCommit).await;
    assert!(found.iter().any(|found| matches!(found, Violation::LostPush { .. })), "{found:?}");
}

#[tokio::test]
async fn a_cursor_that_is_given_again_is_found() {
    let found = found(Plant::CursorFromBlobs).await;
    assert!(found.iter().any(|found| matches!(found, Violation::ReusedCursor { .. })), "{found:?}");
}
