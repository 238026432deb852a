//! Relays that go back to an old copy of their database.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::check::{Rules, Sums};
use crate::relay_log::with_end;
use crate::world::{RelaySetup, World};

/// How the relay goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By `backup` while it runs and `restore`: the store has another id afterwards.
    Restore,
    /// Somebody has copied the files, and copies them back: the store's id is the same.
    RawCopy,
}

/// A copy is made; more is pushed; the copy comes back. One reader is there all the time, one sleeps from before
/// the copy until after its return.
pub async fn run(program: &Path, way: Way) -> Result<Sums> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let group = world.group()?;
    world.add_member(group, Some(1)).await?;
    world.add_member(group, Some(2)).await?;
    world.add_member(group, None).await?;
    let sleeper = world.add_member(group, None).await?;
    push(&mut world, 30).await?;
    world.arrive().await?;
    world.kill_app(sleeper)?;

    let copy = world.scratch("copy.db");
    match way {
        Way::Restore => {
            sync_relay::sqlite::backup(&world.database(), &copy).await?;
        }
        Way::RawCopy => {
            world.kill_relay()?;
            copy_files(&world.database(), &copy)?;
            world.start_relay().await?;
            world.tell_all("woke");
        }
    }
    push(&mut world, 40).await?;
    world.arrive().await?;
    match way {
        Way::Restore => {
            world.end_relay()?;
            sync_relay::sqlite::restore(&world.database(), &copy).await?;
        }
        Way::RawCopy => {
            world.kill_relay()?;
            copy_files(&copy, &world.database())?;
        }
    }
    world.start_relay().await?;
    world.tell_all("woke");
    for no in world.running(|_| true) {
        world.app(no)?.until("the relay was reset", |heard| heard.resets > 0).await?;
    }
    push(&mut world, 20).await?;
    world.arrive().await?;
    // It hears of the reset now, and lacks most of the log.
    world.start_app(sleeper).await?;
    world.arrive().await?;
    world.check(Rules { relay_reset: true, fork: way == Way::RawCopy, ..Rules::default() }).await
}

/// Every writer pushes so much.
async fn push(world: &mut World, items: u64) -> Result<()> {
    for no in world.running(|setup| setup.writer.is_some()) {
        world.push(no, items).await?;
    }
    Ok(())
}

/// A database with what a kill has left beside it takes the place of another.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let (from, to): (PathBuf, PathBuf) = (with_end(from, end), with_end(to, end));
        if to.exists() {
            std::fs::remove_file(&to)?;
        }
        if from.exists() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
