//! What tests do often.

use sync_engine::{Break, Command, Event, Refused, Reply};
use sync_testkit::liar::World;
use sync_types::{Cursor, DeviceId};

pub fn cursor(n: u64) -> Cursor {
    Cursor::new(n).unwrap()
}

/// Nobody has said anything against the relay, or anybody.
pub fn no_alarms(world: &mut World, devices: &[usize]) {
    for n in devices {
        assert_eq!(world.alarms(*n), [], "device {n}");
    }
}

/// Who is in the group, as a device tells its user.
pub fn roster(world: &mut World, n: usize) -> Vec<DeviceId> {
    match world.ask(n, Command::Devices) {
        Ok(Reply::Devices(devices)) => {
            devices.into_iter().filter(|device| device.member).map(|device| device.device_id).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Whether a device has said that blobs up to a cursor are missing, and nothing worse.
pub fn only_truncated(world: &mut World, n: usize, up_to: Cursor) -> bool {
    let alarms = world.alarms(n);
    let known = alarms.contains(&Event::HistoryTruncated { up_to });
    known && alarms.iter().all(|event| matches!(event, Event::HistoryTruncated { .. }))
}

/// A member's blobs do not follow each other.
pub fn broken(world: &World, sender: usize, how: Break) -> impl Fn(&Event) -> bool + use<> {
    let sender = world.id(sender);
    move |event| matches!(event, Event::ChainBroken { sender: of, how: is, .. } if (*of, *is) == (sender, how))
}

/// A blob is not shown.
pub fn refused(world: &World, sender: usize, why: Refused) -> impl Fn(&Event) -> bool + use<> {
    let sender = world.id(sender);
    move |event| matches!(event, Event::BlobRefused { sender: of, why: is, .. } if (*of, *is) == (sender, why))
}

/// Blobs up to a cursor are missing.
pub fn truncated(up_to: Cursor) -> impl Fn(&Event) -> bool + use<> {
    move |event| *event == Event::HistoryTruncated { up_to }
}

/// Another device was shown another log.
pub fn forked(world: &World, witness: usize) -> impl Fn(&Event) -> bool + use<> {
    let witness = world.id(witness);
    move |event| matches!(event, Event::Forked { witness: of, .. } if *of == witness)
}

/// A device has said something like this.
pub fn says(world: &mut World, n: usize, what: impl Fn(&Event) -> bool) {
    let alarms = world.alarms(n);
    assert!(alarms.iter().any(what), "device {n} says only {alarms:?}");
}

/// A device's alarms, all of which must be of this kind.
pub fn says_only(world: &mut World, n: usize, what: impl Fn(&Event) -> bool) {
    let alarms = world.alarms(n);
    assert!(!alarms.is_empty() && alarms.iter().all(what), "device {n} says {alarms:?}");
}

/// What the devices are called, as a device tells its user.
pub fn names(world: &mut World, n: usize) -> Vec<(DeviceId, Option<String>)> {
    match world.ask(n, Command::Devices) {
        Ok(Reply::Devices(devices)) => devices
            .into_iter()
            .map(|device| (device.device_id, device.name.map(|name| name.to_string())))
            .collect(),
        other => panic!("{other:?}"),
    }
}
