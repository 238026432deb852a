//! Lines that are cut, slow, torn and doubled, between devices under load and their relay.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};
use tokio::time::timeout;

use crate::check::{Rules, Sums};
use crate::child::PATIENCE;
use crate::proxy::{Proxy, Weather};
use crate::world::{RelaySetup, Setup, World};

/// What was done, and what was found to hold.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    /// Connections that were cut, torn or doubled.
    pub ended: u64,
    /// Of those, segments that came twice.
    pub doubled: u64,
    /// Of those, ones at which the receiver closed at once; others made it wait for what never came.
    pub refused: u64,
    /// What the check has seen.
    pub sums: Sums,
}

/// So many connections end badly in one world, and the check.
pub async fn run(program: &Path, seed: u64, faults: u64) -> Result<Done> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let mut proxy = Proxy::start(&world.relay_address, seed).await?;
    world.entrance.clone_from(&proxy.url);
    let group = world.group()?;
    for writer in 1..=2 {
        for writer in [Some(writer), None] {
            let more = vec!["--eager".to_owned()];
            world.add(Setup { group, writer, has_secret: true, ahead: 0, more }).await?;
        }
    }
    proxy.set(Weather::Rough);
    world.tell_writers("load");
    let counts = std::sync::Arc::clone(&proxy.counts);
    let ended = || counts.cut.load(Relaxed) + counts.truncated.load(Relaxed) + counts.doubled.load(Relaxed);
    while ended() < faults {
        timeout(PATIENCE, proxy.lost_one()).await.context("the devices do not use the line any more")?;
    }
    proxy.set(Weather::Calm);
    world.drain().await?;
    let sums = world.check(Rules { tampering: true, ..Rules::default() }).await?;
    Ok(Done {
        ended: ended(),
        doubled: counts.doubled.load(Relaxed),
        refused: counts.refused.load(Relaxed),
        sums,
    })
}
