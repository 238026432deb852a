//! Members that take nothing and strangers that say nothing: two members must hardly notice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use sync_engine::Command;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::device::{Device, Place, dial, upgrade};
use crate::relay::Relay;
use crate::world::{group, heard, here, quantile, roomy};

/// How many devices a group of stalled readers has.
const GROUP: usize = 50;
/// What those groups are sent, in bytes: small enough to come with its notification, so that nobody has to ask for it.
const BLOB: usize = 4_000;
/// How often, to fill a reader's sockets and then some.
const FILL: usize = 150;
/// From then on.
const EVERY: Duration = Duration::from_millis(1_000);
/// What the system takes in for a reader, in bytes.
const WINDOW: u32 = 16 * 1024;
/// Most that the relay may hold for a session that stalls, in bytes.
const MOST_EACH: u64 = 128 * 1024;
/// In which the relay has to let go of those that take nothing.
const LET_GO: Duration = Duration::from_secs(90);
/// How long a stranger that was thrown out stays away.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) async fn run(program: &Path, readers: usize, strangers: usize, pushes: usize) -> Result<()> {
    let relay = Relay::start(program, roomy()).await?;
    let place = here(relay.addr);
    let mut pair = group(place, 2).await?;
    let quiet = latencies(&mut pair, pushes).await?;
    let before = relay.memory()?;

    let groups = readers.div_ceil(GROUP - 1);
    let narrow = Place { window: Some(WINDOW), ..place };
    let mut groups: Vec<Vec<Device>> =
        stream::iter((0..groups).map(|_| group(narrow, GROUP))).buffer_unordered(4).try_collect().await?;
    let reading = relay.memory()?;
    for group in &groups {
        group[1..].iter().for_each(Device::stall);
    }
    let opened = Arc::new(AtomicU64::new(0));
    let flood: Vec<_> =
        (0..strangers).map(|n| tokio::spawn(stranger(place, n, Arc::clone(&opened)))).collect();
    let pushers: Vec<Device> = groups.iter_mut().map(|group| group.remove(0)).collect();
    let stalled: usize = groups.iter().map(Vec::len).sum();
    let others = pair.len() + pushers.len();
    try_join_all(pushers.iter().map(fill)).await?;
    let full = Instant::now();
    let pushers: Vec<_> = pushers.into_iter().map(|pusher| tokio::spawn(feed(pusher))).collect();

    let most = AtomicU64::new(0);
    let watch = async || -> Result<()> {
        loop {
            most.fetch_max(relay.memory()?, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
        }
    };
    let mut there = stalled;
    let crowded = async {
        let crowded = latencies(&mut pair, pushes).await?;
        there = relay.connections().await?.saturating_sub(others);
        let let_go = async {
            while relay.connections().await? > others {
                sleep(EVERY).await;
            }
            anyhow::Ok(full.elapsed())
        };
        anyhow::Ok((crowded, timeout(LET_GO, let_go).await))
    };
    let (crowded, let_go) = tokio::select! {
        crowded = crowded => crowded?,
        failed = watch() => return failed,
    };
    let let_go = let_go.context("the relay keeps members that take nothing")??;
    let most = most.load(Ordering::Relaxed);
    pushers.iter().chain(&flood).for_each(|task| task.abort());

    println!(
        "{stalled} stalled readers, {strangers} strangers, who opened {} connections",
        opened.load(Ordering::Relaxed)
    );
    let each = most.saturating_sub(before) / stalled as u64;
    println!(
        "the relay held {before} bytes with the two members, {reading} with all members, {most} at most: {each} for each stalled one",
    );
    println!(
        "{there} of them were still there when the pair had been measured; the relay had let go of the last {:.1} s after they were full",
        let_go.as_secs_f64()
    );
    let mut p99 = Vec::new();
    for (name, sorted) in [("alone", &quiet), ("in the crowd", &crowded)] {
        println!(
            "from a push to the other's notification, {name}: median {:.2} ms, p99 {:.2} ms",
            quantile(sorted, 0.5),
            quantile(sorted, 0.99)
        );
        p99.push(quantile(sorted, 0.99));
    }
    println!("p99 ratio: {:.2}", p99[1] / p99[0]);
    ensure!(each <= MOST_EACH, "that is more than {MOST_EACH} bytes for each");
    ensure!(there > stalled / 2, "too few of them were there to measure anything");
    ensure!(p99[1] <= 2.0 * p99[0], "the p99 more than doubles");
    Ok(())
}

/// Pushes more than the sockets of those take who do not read.
async fn fill(pusher: &Device) -> Result<()> {
    for _ in 0..FILL {
        pusher.push(vec![7; BLOB], Some(3600)).await?;
    }
    pusher.ask(Command::Flush).await.map(|_| ())
}

/// How long it takes until one has heard what the other has pushed; ascending.
async fn latencies(pair: &mut [Device], pushes: usize) -> Result<Vec<Duration>> {
    let mut all = Vec::with_capacity(pushes);
    for _ in 0..pushes {
        let start = Instant::now();
        let blob = pair[0].push(vec![7; 1_000], Some(3600)).await?;
        all.push(heard(&mut pair[1], blob).await? - start);
    }
    all.sort_unstable();
    Ok(all)
}

/// Pushes to those who do not read.
async fn feed(pusher: Device) -> Result<()> {
    loop {
        pusher.push(vec![7; BLOB], Some(3600)).await?;
        sleep(EVERY).await;
    }
}

/// Takes a place and gives nothing, for as long as the relay puts up with it; again and again.
async fn stranger(place: Place, n: usize, opened: Arc<AtomicU64>) -> Result<()> {
    // Not all in the same moment.
    sleep(PAUSE * (n as u32 % 1000) / 1000).await;
    loop {
        if let Ok(mut stream) = dial(place).await {
            opened.fetch_add(1, Ordering::Relaxed);
            if n.is_multiple_of(2) {
                let _ = stream.read(&mut [0; 9]).await;
            } else if let Ok(mut socket) = upgrade(stream, &format!("ws://{}/sync", place.relay)).await {
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
        sleep(PAUSE).await;
    }
}
