//! Laptops that sleep for hours, while their connections die without a word.

use std::path::Path;

use anyhow::Result;

use crate::check::{Rules, Sums};
use crate::proxy::Proxy;
use crate::world::{RelaySetup, World};

/// How long they sleep, by their own clock, in seconds.
const HOURS: i64 = 9 * 3600;

/// A writer and a reader sleep in the middle of everything, wake up hours later, and catch up.
pub async fn run(program: &Path, seed: u64) -> Result<Sums> {
    let mut world = World::start(program, RelaySetup::default()).await?;
    let proxy = Proxy::start(&world.relay_address, seed).await?;
    let group = world.group()?;
    let awake = world.add_member(group, Some(1)).await?;
    world.add_member(group, None).await?;
    world.entrance.clone_from(&proxy.url);
    let sleepers = [world.add_member(group, Some(2)).await?, world.add_member(group, None).await?];
    world.push(awake, 20).await?;
    world.tell_writers("load");
    world.app(sleepers[0])?.until("it pushes", |heard| heard.acked >= 40).await?;
    for sleeper in sleepers {
        world.app(sleeper)?.signal("STOP")?;
    }
    proxy.lose_all();
    world.push(awake, 60).await?;
    for sleeper in sleepers {
        let app = world.app(sleeper)?;
        app.tell(&format!("clock {HOURS}"));
        app.tell("drain");
        app.signal("CONT")?;
    }
    // Nobody tells them that the network is back: they notice by their clocks.
    world.app(sleepers[0])?.until("everything is pushed", |heard| heard.drained > 0).await?;
    world.arrive().await?;
    world.check(Rules::default()).await
}
