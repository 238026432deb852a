//! Groups of devices, and what is measured of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use sync_engine::Event;
use sync_types::BlobId;
use tokio::time::{Instant, timeout};

use crate::device::{Device, Place};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(300);

/// A relay that takes as many sessions as anybody makes.
pub(crate) fn roomy() -> Vec<(&'static str, String)> {
    vec![
        ("SERVER__MAX_CONNECTIONS", "19000".to_owned()),
        ("LIMITS__MESSAGES_PER_MINUTE", "1000000".to_owned()),
        ("STORAGE__MAX_GROUP_STORAGE", "1GiB".to_owned()),
        ("STORAGE__MAX_DB_SIZE", "8GiB".to_owned()),
    ]
}

/// On this machine, as most are.
pub(crate) fn here(relay: SocketAddr) -> Place {
    Place { relay, from: IpAddr::V4(Ipv4Addr::LOCALHOST), window: None }
}

/// A group of so many devices, all of them connected.
pub(crate) async fn group(place: Place, devices: usize) -> Result<Vec<Device>> {
    let founder = Device::new(place)?;
    founder.push(b"first".to_vec(), None).await?;
    founder.connect().await?;
    let mut group = vec![founder];
    while group.len() < devices {
        let device = Device::new(place)?;
        device.join(group[0].invite().await?).await?;
        group.push(device);
    }
    Ok(group)
}

/// Until another device hears of a blob; gives when.
pub(crate) async fn heard(device: &mut Device, blob: BlobId) -> Result<Instant> {
    let found = |event: &Event| {
        matches!(event, Event::BlobAvailable { blob_id, .. } if *blob_id == blob).then_some(())
    };
    let (at, ()) = timeout(PATIENCE, device.hears(found)).await.context("a push was not heard of")??;
    Ok(at)
}

/// The first device of a group pushes, all the others hear of it.
pub(crate) async fn all_hear(group: &mut [Device], data: Vec<u8>) -> Result<()> {
    let Some((first, others)) = group.split_first_mut() else { return Ok(()) };
    let blob = first.push(data, None).await?;
    try_join_all(others.iter_mut().map(|device| heard(device, blob))).await?;
    Ok(())
}

/// The value that a part of them is not above, in milliseconds.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    sorted.get(at).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
}
