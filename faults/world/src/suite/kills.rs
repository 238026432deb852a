//! Relay and apps are killed under load, at random moments, again and again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use tokio::time::sleep;

use crate::check::{Rules, Sums};
use crate::world::{DeviceNo, RelaySetup, World};

/// Rounds in one world; then everything is checked, and another one begins.
pub const BLOCK: u64 = 50;
/// Longest time from one kill to the next, in milliseconds.
const LONGEST: u64 = 150;

/// What was done, and what was found to hold.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    /// Kills of relays.
    pub relays: u64,
    /// Kills of apps.
    pub apps: u64,
    /// What the checks have seen.
    pub sums: Sums,
}

/// So many rounds in one world, and the check.
pub async fn run(program: &Path, seed: u64, rounds: u64) -> Result<Done> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = crowd(program, &mut rng).await?;
    let mut done = Done::default();
    world.tell_writers("load");
    for _ in 0..rounds {
        // A random moment is what this is about.
        sleep(Duration::from_millis(rng.next_u64() % LONGEST)).await;
        round(&mut world, &mut rng, &mut done).await?;
    }
    world.drain().await?;
    done.sums = world.check(Rules::default()).await?;
    Ok(done)
}

/// A relay, one or two groups, some writers and readers.
async fn crowd(program: &Path, rng: &mut ChaCha8Rng) -> Result<World> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let mut writer = 0;
    for _ in 0..=rng.next_u64() % 2 {
        let group = world.group()?;
        for _ in 0..=rng.next_u64() % 2 {
            writer += 1;
            world.add_member(group, Some(writer)).await?;
        }
        for _ in 0..=rng.next_u64() % 2 {
            world.add_member(group, None).await?;
        }
    }
    Ok(world)
}

/// Some are killed, and come back.
async fn round(world: &mut World, rng: &mut ChaCha8Rng, done: &mut Done) -> Result<()> {
    let apps = world.devices.len() as u64;
    let (relay, victims) = match rng.next_u64() % 10 {
        0..5 => (true, Vec::new()),
        5..8 => (false, vec![rng.next_u64() % apps]),
        _ => (rng.next_u64() % 2 == 0, (0..apps).filter(|_| rng.next_u64() % 2 == 0).collect()),
    };
    let victims: Vec<DeviceNo> = victims.into_iter().filter_map(|no| no.try_into().ok()).collect();
    if relay {
        world.kill_relay()?;
        done.relays += 1;
        world.check_remains().await?;
    }
    for no in &victims {
        world.kill_app(*no)?;
        done.apps += 1;
    }
    if relay && rng.next_u64() % 8 == 0 {
        // Once more, while it starts.
        world.launch_relay()?;
        sleep(Duration::from_millis(rng.next_u64() % 20)).await;
        world.kill_relay()?;
        done.relays += 1;
    }
    if relay {
        world.start_relay().await?;
    }
    for no in &victims {
        world.start_app(*no).await?;
        if world.devices[*no].setup.writer.is_some() {
            world.app(*no)?.tell("load");
        }
    }
    if relay {
        world.tell_all("woke");
    }
    Ok(())
}
