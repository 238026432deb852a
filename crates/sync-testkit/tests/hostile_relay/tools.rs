//! What tests do often.

use sync_engine::{Command, Event, Reply};
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
