//! Members that take nothing and strangers that say nothing: two members must hardly notice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use crate::device::{Device, Place, dial, upgrade};
use crate::relay::Relay;
use crate::world::{group, heard, here, quantile, roomy};

/// How many devices a group of stalled readers has.
const GROUP: usize = 50;
/// What each of those groups is sent, in bytes and how often: more than its sockets take.
const BLOB: usize = 100_000;
const EVERY: Duration = Duration::from_millis(1_000);
/// How long a stranger that was thrown out stays away.
const PAUSE: Duration = Duration::from_secs(10);

pub(crate) async fn run(program: &Path, readers: usize, strangers: usize, pushes: usize) -> Result<()> {
    let relay = Relay::start(program, roomy()).await?;
    let place = here(relay.addr);
    let mut pair = group(place, 2).await?;
    let quiet = latencies(&mut pair, pushes).await?;
    let before = relay.memory()?;

    let groups = readers.div_ceil(GROUP - 1);
    let mut groups: Vec<Vec<Device>> =
        stream::iter((0..groups).map(|_| group(place, GROUP))).buffer_unordered(4).try_collect().await?;
    let reading = relay.memory()?;
    for group in &groups {
        group[1..].iter().for_each(Device::stall);
    }
    let opened = Arc::new(AtomicU64::new(0));
    let flood: Vec<_> =
        (0..strangers).map(|n| tokio::spawn(stranger(place, n, Arc::clone(&opened)))).collect();
    let pushers: Vec<_> =
        groups.iter_mut().map(|group| group.remove(0)).map(|pusher| tokio::spawn(feed(pusher))).collect();
    let stalled: usize = groups.iter().map(Vec::len).sum();
    // Until the sockets are full and the relay has to hold back.
    sleep(10 * EVERY).await;

    let most = Arc::new(AtomicU64::new(0));
    let watch = async {
        loop {
            if let Ok(bytes) = relay.memory() {
                most.fetch_max(bytes, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let crowded = tokio::select! {
        crowded = latencies(&mut pair, pushes) => crowded?,
        () = watch => Vec::new(),
    };
    let most = most.load(Ordering::Relaxed);
    pushers.iter().chain(&flood).for_each(|task| task.abort());

    println!(
        "{stalled} stalled readers, {strangers} strangers, who opened {} connections",
        opened.load(Ordering::Relaxed)
    );
    println!(
        "the relay held {before} bytes with the two members, {reading} with all members, {most} at most: {} for each stalled one",
        most.saturating_sub(before) / stalled as u64,
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
    ensure!(p99[1] <= 2.0 * p99[0], "the p99 more than doubles");
    Ok(())
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
