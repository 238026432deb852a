//! Databases through power cuts: a short run, and mistakes that it must find.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use sync_faults_disk::relay::{Cut, Life, Plant, Settings};
use sync_faults_disk::{Violation, client};

async fn life(seed: u64, plant: Option<Plant>) -> (tempfile::TempDir, Life) {
    let folder = tempfile::tempdir().unwrap();
    let life = Life::lived(folder.path(), Settings { seed, batches: 120, plant }).await.unwrap();
    (folder, life)
}

#[tokio::test]
async fn what_a_relay_has_acknowledged_survives_every_power_cut() {
    let mut done = BTreeSet::new();
    for seed in 0..4 {
        let (folder, life) = life(seed, None).await;
        done.extend(life.done().into_keys());
        for n in 0..50 {
            let cut = Cut { seed: n, again: n % 4 == 0 };
            life.cut(folder.path(), cut)
                .await
                .unwrap_or_else(|found| panic!("life {seed}, cut {n}: {found}"));
        }
    }
    for kind in ["push", "batch", "ack", "admit", "rotation", "delete", "cleanup", "invite", "leave"] {
        assert!(done.contains(kind), "nobody did {kind}");
    }
}

/// What the cuts find in the first life with a mistake in which they find anything.
async fn found(plant: Plant) -> Vec<Violation> {
    let mut found = Vec::new();
    for seed in 0..8 {
        let (folder, life) = life(seed, Some(plant)).await;
        for n in 0..100 {
            found.extend(life.cut(folder.path(), Cut { seed: n, again: false }).await.err());
        }
        if !found.is_empty() {
            break;
        }
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

#[tokio::test]
async fn a_client_that_trusts_the_log_which_it_finds_is_found() {
    let found = found_at_client(client::Plant::LogTakenForDurable).await;
    assert!(!found.is_empty());
}

#[tokio::test]
async fn what_a_client_has_stored_survives_every_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..4 {
        let settings = client::Settings { seed, steps: 120, plant: None };
        let life = client::Life::lived(folder.path(), settings).await.unwrap();
        assert!(life.pushes() > 20, "{} pushes", life.pushes());
        for n in 0..50 {
            let cut = life.cut(folder.path(), n).await;
            cut.unwrap_or_else(|found| panic!("life {seed}, cut {n}: {found}"));
        }
    }
}

async fn found_at_client(plant: client::Plant) -> Vec<Violation> {
    let folder = tempfile::tempdir().unwrap();
    let settings = client::Settings { seed: 1, steps: 120, plant: Some(plant) };
    let life = client::Life::lived(folder.path(), settings).await.unwrap();
    let mut found = Vec::new();
    for n in 0..100 {
        found.extend(life.cut(folder.path(), n).await.err());
    }
    found
}

#[tokio::test]
async fn a_client_whose_commits_do_not_wait_for_the_disk_is_found() {
    let found = found_at_client(client::Plant::SynchronousNormal).await;
    assert!(found.iter().any(|found| matches!(found, Violation::LostRows(_))), "{found:?}");
}

#[tokio::test]
async fn an_outbox_that_forgets_what_is_sent_is_found() {
    let found = found_at_client(client::Plant::OutboxDroppedWhenSent).await;
    assert!(found.iter().any(|found| matches!(found, Violation::LostOutbox(_))), "{found:?}");
}
