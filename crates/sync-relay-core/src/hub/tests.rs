use sync_types::{BlobId, Cursor, DeviceRow};

use super::mailbox::MAX_NEWS;
use super::*;

const GROUP: GroupId = GroupId([1; 32]);
const OTHER: GroupId = GroupId([2; 32]);

fn now() -> Now {
    Now { mono: MonoMs(0), unix: UnixMs(9) }
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 32]).unwrap()
}

fn come(hub: &mut Hub, group: GroupId, n: u8) -> SessionNo {
    let no = hub.open();
    let device = device(n);
    hub.register(no, Registration { group, device }, now());
    no
}

fn committed(group: GroupId, sender: u8, cursors: impl IntoIterator<Item = u64>) -> Committed {
    let news = |n| News {
        blob_id: BlobId([n as u8; 16]),
        cursor: Cursor::new(n).unwrap(),
        sender: device(sender),
        stored_at: UnixMs(0),
        size: 0,
        payload: None,
    };
    let blobs = cursors.into_iter().map(news).collect();
    Committed { group, sender: device(sender), blobs, ended: Ended::Devices(vec![]) }
}

fn heard(hub: &mut Hub, no: SessionNo) -> Vec<String> {
    core::iter::from_fn(|| hub.take(no))
        .map(|delivery| match delivery {
            Delivery::News(news) => format!("blob {}", news.cursor),
            Delivery::Presence(p) => format!("device {} is {}", p.device_id.as_bytes()[0], p.status),
            Delivery::Ended(why) => format!("{why:?}"),
        })
        .collect()
}

fn woken(hub: &mut Hub) -> Vec<SessionNo> {
    core::iter::from_fn(|| hub.poll_woken()).collect()
}

#[test]
fn the_others_of_the_group_hear_and_nobody_else() {
    let mut hub = Hub::new(100);
    let (a, b, stranger) = (come(&mut hub, GROUP, 1), come(&mut hub, GROUP, 2), come(&mut hub, OTHER, 3));
    assert_eq!(heard(&mut hub, a), ["device 2 is 1"]);
    woken(&mut hub);
    hub.committed(&committed(GROUP, 1, [1, 2]));
    assert_eq!(woken(&mut hub), [b]);
    assert_eq!(heard(&mut hub, a), [""; 0]);
    assert_eq!(heard(&mut hub, b), ["blob 1", "blob 2"]);
    assert_eq!(heard(&mut hub, stranger), [""; 0]);
}

#[test]
fn a_slow_reader_is_left_with_the_newest_blob_and_never_with_more_than_the_bound() {
    let mut hub = Hub::new(100);
    come(&mut hub, GROUP, 1);
    let slow = come(&mut hub, GROUP, 2);
    hub.committed(&committed(GROUP, 1, 1..=MAX_NEWS as u64));
    assert_eq!(hub.members[&slow].mailbox_len(), MAX_NEWS);
    hub.committed(&committed(GROUP, 1, [65]));
    assert_eq!(heard(&mut hub, slow), ["blob 65"]);
    hub.committed(&committed(GROUP, 1, 66..10_000));
    assert!(hub.members[&slow].mailbox_len() <= MAX_NEWS);
    assert_eq!(heard(&mut hub, slow).last().unwrap(), "blob 9999");
}

#[test]
fn the_newer_connection_of_a_device_replaces_the_older_without_a_coming_and_going() {
    let mut hub = Hub::new(100);
    let (old, peer) = (come(&mut hub, GROUP, 1), come(&mut hub, GROUP, 2));
    heard(&mut hub, old);
    hub.committed(&committed(GROUP, 2, [1]));
    let new = come(&mut hub, GROUP, 1);
    hub.committed(&committed(GROUP, 2, [2]));
    assert_eq!(heard(&mut hub, old), ["Replaced"]);
    hub.unregister(old, now());
    assert_eq!(heard(&mut hub, new), ["blob 2"]);
    assert_eq!(heard(&mut hub, peer), [""; 0]);
    hub.unregister(new, now());
    assert_eq!(heard(&mut hub, peer), ["device 1 is 0"]);
    assert_eq!(hub.online(), 1);
}

#[test]
fn a_rotation_ends_the_sessions_of_who_was_removed_and_is_news_for_the_others() {
    let mut hub = Hub::new(100);
    let (a, b, c) = (come(&mut hub, GROUP, 1), come(&mut hub, GROUP, 2), come(&mut hub, GROUP, 3));
    let elsewhere = come(&mut hub, OTHER, 2);
    hub.committed(&committed(GROUP, 3, [1]));
    [a, b, c].iter().for_each(|no| drop(heard(&mut hub, *no)));
    woken(&mut hub);
    hub.committed(&Committed {
        ended: Ended::Devices(vec![device(2), device(9)]),
        ..committed(GROUP, 1, [2])
    });
    assert_eq!(woken(&mut hub), [b, c]);
    hub.committed(&committed(GROUP, 3, [3]));
    assert_eq!(heard(&mut hub, b), ["Removed"], "and no news of what it has no part in");
    assert_eq!(heard(&mut hub, c), ["blob 2"]);
    assert_eq!(heard(&mut hub, a), ["blob 3"]);
    hub.presence(b, 7, now());
    assert_eq!(heard(&mut hub, a), [""; 0]);
    assert_eq!(heard(&mut hub, elsewhere), [""; 0]);
    hub.unregister(b, now());
    assert_eq!(heard(&mut hub, a), ["device 2 is 0"]);
}

#[test]
fn a_deleted_group_ends_every_session_of_it() {
    let mut hub = Hub::new(100);
    let (a, b, stranger) = (come(&mut hub, GROUP, 1), come(&mut hub, GROUP, 2), come(&mut hub, OTHER, 1));
    hub.committed(&Committed { ended: Ended::Group, ..committed(GROUP, 1, []) });
    assert_eq!(heard(&mut hub, a), ["GroupDeleted"]);
    assert_eq!(heard(&mut hub, b), ["GroupDeleted"]);
    assert_eq!(heard(&mut hub, stranger), [""; 0]);
}

#[test]
fn presence_is_told_once_and_only_the_last_of_it() {
    let mut hub = Hub::new(100);
    let (a, b) = (come(&mut hub, GROUP, 1), come(&mut hub, GROUP, 2));
    hub.presence(a, 1, now());
    assert_eq!(heard(&mut hub, b), [""; 0]);
    hub.presence(a, 7, now());
    hub.presence(a, 8, now());
    assert_eq!(heard(&mut hub, b), ["device 1 is 8"]);
}

#[test]
fn an_allowance_survives_reconnecting_and_is_forgotten_once_it_is_whole() {
    let mut hub = Hub::new(1);
    let registration = |n| Registration { group: GROUP, device: device(n) };
    let no = hub.open();
    assert!(hub.register(no, registration(1), now()).take(MonoMs(0)).is_ok());
    hub.unregister(no, now());
    let no = hub.open();
    assert!(hub.register(no, registration(1), now()).take(MonoMs(0)).is_err());
    hub.unregister(no, now());

    let later = Now { mono: MonoMs(120_000), unix: UnixMs(0) };
    for n in 0..=FIRST_PRUNE as u64 {
        let group = GroupId([n as u8; 32]);
        let device = device((n / 256) as u8 + 10);
        let no = hub.open();
        hub.register(no, Registration { group, device }, later);
        hub.unregister(no, later);
    }
    assert!(hub.buckets.len() < 10, "{} are remembered", hub.buckets.len());
}

#[test]
fn devices_are_marked_as_online() {
    let mut hub = Hub::new(100);
    come(&mut hub, GROUP, 1);
    let online: Vec<_> = hub.registrations().collect();
    assert_eq!(online, [Registration { group: GROUP, device: device(1) }]);
    let row = |n| DeviceRow {
        device_id: device(n),
        device_name: vec![],
        acked_cursor: Cursor::ZERO,
        last_seen: UnixMs(1),
        online: false,
    };
    let mut result = ReadResult::Devices(vec![row(1), row(2)]);
    hub.mark_online(&ReadOp::Devices { group: GROUP, device: device(2) }, &mut result, now());
    let ReadResult::Devices(rows) = result else { unreachable!() };
    assert_eq!(rows.iter().map(|r| (r.online, r.last_seen.0)).collect::<Vec<_>>(), [(true, 9), (false, 1)]);
}
