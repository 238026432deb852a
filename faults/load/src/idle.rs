//! Sessions in which nothing happens, and what becomes of them when the relay is killed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use sync_engine::Event;
use tokio::time::{Instant, timeout};

use crate::device::{Device, attempts};
use crate::relay::Relay;
use crate::world::{all_hear, group, heard, here, roomy};

/// How many devices a group has.
const GROUP: usize = 50;
/// How many groups are made at a time.
const AT_ONCE: usize = 8;
/// Most that the relay may hold for a session, in bytes.
const MOST_EACH: u64 = 64 * 1024;
/// Most attempts to connect, for each that comes back.
const ATTEMPTS: usize = 4;
/// In which all have to be back.
const BACK: Duration = Duration::from_secs(60);

pub(crate) async fn run(program: &Path, sessions: usize) -> Result<()> {
    let mut relay = Relay::start(program, roomy()).await?;
    let empty = relay.memory()?;
    let start = Instant::now();
    let place = here(relay.addr);
    let groups = sessions.div_ceil(GROUP);
    let mut groups: Vec<Vec<Device>> = stream::iter((0..groups).map(|_| group(place, GROUP)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    println!("{} sessions in {:.1} s", groups.len() * GROUP, start.elapsed().as_secs_f64());
    try_join_all(groups.iter_mut().map(|group| all_hear(group, vec![0; 100]))).await?;
    let bytes = relay.memory()?;
    let each = (bytes - empty) / (groups.len() * GROUP) as u64;
    println!("the relay holds {bytes} bytes, {empty} without them: {each} bytes for each session");
    ensure!(each <= MOST_EACH, "that is more than {MOST_EACH}");

    // Whatever they have been told until now.
    for device in groups.iter_mut().flatten() {
        while device.events.try_recv().is_ok() {}
    }
    let killed = Instant::now();
    attempts().clear();
    relay.restart().await?;
    let mut pushes = Vec::new();
    for group in &groups {
        pushes.push(group[0].push(b"while it was away".to_vec(), None).await?);
    }
    let back = try_join_all(groups.iter_mut().flatten().map(async |device| {
        let connected = |event: &Event| (*event == Event::Connected).then_some(());
        let (at, ()) = timeout(2 * BACK, device.hears(connected)).await.context("a device is not back")??;
        anyhow::Ok(at - killed)
    }));
    let mut back = back.await?;
    back.sort_unstable();
    let last = back.last().copied().unwrap_or_default();
    let half = back[back.len() / 2];
    println!(
        "after a kill -9 half of them are back after {:.1} s, all after {:.1} s",
        half.as_secs_f64(),
        last.as_secs_f64()
    );
    let attempts = attempts().clone();
    let mut seconds = vec![0_usize; 200];
    for at in &attempts {
        let second = at.duration_since(killed).as_secs() as usize;
        seconds[second.min(199)] += 1;
    }
    seconds.truncate(seconds.iter().rposition(|n| *n > 0).map_or(0, |at| at + 1));
    println!("{} attempts, by second: {seconds:?}", attempts.len());
    ensure!(attempts.len() <= ATTEMPTS * back.len(), "that is more than {ATTEMPTS} for each");
    ensure!(last <= BACK, "that is more than {} s", BACK.as_secs());

    let missed = groups.iter_mut().zip(&pushes).map(async |(group, blob)| {
        try_join_all(group[1..].iter_mut().map(|device| heard(device, *blob))).await.map(|_| ())
    });
    try_join_all(missed).await?;
    println!("every device has heard of what was pushed while the relay was away");
    Ok(())
}
