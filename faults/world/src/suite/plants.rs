//! Broken promises, planted: what the check must find. Nothing of this is in what ships; the relay and the client
//! are the real ones, and the fault is done to their files, or is the app's own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::time::sleep;

use crate::check::{Rules, Violation, Violations};
use crate::relay_log::with_end;
use crate::world::{DeviceNo, RelaySetup, Setup, World};

/// Commits that a relay loses that acknowledges before it commits.
const UNDONE: usize = 3;

/// A world with two writers and a reader.
async fn three(program: &Path) -> Result<(World, [DeviceNo; 3])> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let group = world.group()?;
    let [a, b] = [world.add_member(group, Some(1)).await?, world.add_member(group, Some(2)).await?];
    let reader = world.add_member(group, None).await?;
    Ok((world, [a, b, reader]))
}

/// What a check has found.
fn found(checked: Result<()>) -> Result<Vec<Violation>> {
    match checked {
        Ok(()) => Ok(Vec::new()),
        Err(error) => Ok(error.downcast::<Violations>()?.0),
    }
}

/// A relay acknowledges pushes whose commit is still under way when it is killed: the end of its write-ahead log is
/// taken back. Gives what is found at once, and what is found when everything has been healed by the clients.
pub async fn ack_before_commit(program: &Path) -> Result<(Vec<Violation>, Vec<Violation>)> {
    let (mut world, [a, b, _]) = three(program).await?;
    world.tell_writers("load");
    for writer in [a, b] {
        world.app(writer)?.until("it pushes", |heard| heard.acked >= 50).await?;
    }
    world.kill_relay()?;
    take_back_commits(&world.database(), UNDONE)?;
    let at_once = found(world.check_remains().await)?;
    world.start_relay().await?;
    world.drain().await?;
    Ok((at_once, found(world.check(Rules::default()).await.map(drop))?))
}

/// The cursor of the last blob is given out once more.
pub async fn reused_cursor(program: &Path) -> Result<Vec<Violation>> {
    let (mut world, [a, b, _]) = three(program).await?;
    world.push(b, 5).await?;
    world.push(a, 5).await?;
    world.arrive().await?;
    world.kill_app(a)?;
    world.kill_relay()?;
    edit(
        &world.database(),
        "DELETE FROM blobs WHERE cursor = (SELECT max(cursor) FROM blobs);
         UPDATE groups SET max_cursor = max_cursor - 1;",
    )
    .await?;
    world.start_relay().await?;
    world.tell_all("woke");
    world.push(b, 5).await?;
    world.start_app(a).await?;
    world.drain().await?;
    found(world.check(Rules::default()).await.map(drop))
}

/// A client forgets the newest push that waits in its outbox.
pub async fn dropped_outbox_row(program: &Path) -> Result<Vec<Violation>> {
    let (mut world, [a, _, _]) = three(program).await?;
    world.push(a, 5).await?;
    world.kill_relay()?;
    world.app(a)?.tell("push 5");
    world.app(a)?.until("pushes wait", |heard| heard.queued >= 10).await?;
    world.kill_app(a)?;
    let state = world.devices[a].folder.join("client.db");
    edit(&state, "DELETE FROM state WHERE key = (SELECT max(key) FROM state WHERE hex(key) LIKE '06%')")
        .await?;
    world.start_relay().await?;
    world.start_app(a).await?;
    world.tell_all("woke");
    world.push(a, 5).await?;
    world.drain().await?;
    found(world.check(Rules::default()).await.map(drop))
}

/// A reader says that it has what it has not written down yet, and is killed then.
pub async fn ack_before_journal(program: &Path) -> Result<Vec<Violation>> {
    let (mut world, [a, _, _]) = three(program).await?;
    let more = vec!["--acks-first".to_owned()];
    let reader = world.add(Setup { has_secret: true, more, ..Setup::default() }).await?;
    world.app(a)?.tell("load");
    for round in 1..=10 {
        world.app(reader)?.until("it reads", |heard| heard.took.contains_key(&1)).await?;
        // Somewhere in the next page.
        sleep(Duration::from_millis(3 * round)).await;
        world.kill_app(reader)?;
        world.start_app(reader).await?;
    }
    world.drain().await?;
    found(world.check(Rules::default()).await.map(drop))
}

async fn edit(database: &Path, sql: &'static str) -> Result<()> {
    let mut db = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(database)).await?;
    sqlx::raw_sql(sql).execute(&mut db).await?;
    db.close().await?;
    Ok(())
}

/// Cuts a write-ahead log before its last commits (the file format, section 4.1: a header of 32 bytes, then frames of
/// a header of 24 bytes and a page; a frame's second number is not zero when it ends a commit).
fn take_back_commits(database: &Path, commits: usize) -> Result<()> {
    let path = with_end(database, "-wal");
    let mut log = std::fs::read(&path)?;
    let number =
        |at: usize| log.get(at..at + 4).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let frame = 24 + number(8).context("a log")? as usize;
    let ends: Vec<usize> = (32..log.len())
        .step_by(frame)
        .filter(|at| {
            log.get(at + 8..at + 16) == log.get(16..24) && number(at + 4).is_some_and(|size| size > 0)
        })
        .map(|at| at + frame)
        .collect();
    let keep = *ends.iter().rev().nth(commits).context("so many commits")?;
    log.truncate(keep);
    std::fs::write(&path, log)?;
    Ok(())
}
