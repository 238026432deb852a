//! Rotations, and devices that go.

use super::*;
use crate::store::{Deleted, NewBlob, Rotated};

fn rotated(epoch: u32, cursor: u64) -> StoreReply {
    written(WriteResult::Rotated(Rotated { epoch, placed: placed(cursor), removed: vec![] }))
}

#[test]
fn a_rotation_keeps_its_place_among_the_requests_and_is_answered_after_its_commit() {
    let mut bed = Bed::ready();
    bed.send(push(1, 3));
    bed.send(rotate());
    bed.send(Delete { blob_id: BlobId([1; 16]) });
    bed.send(pull());
    assert_eq!(bed.out(), ["write Push", "write Rotate 1 after 5", "write Delete"]);
    let rotation = NewBlob::cost(rotate().payload.len());
    assert_eq!(bed.session.unstored(), NewBlob::cost(3) + rotation);
    bed.answer(4, pushed(6));
    bed.answer(5, rotated(1, 7));
    assert_eq!(bed.out(), ["PushAck 6", "RotateAck 1 7"]);
    bed.answer(6, written(WriteResult::Deleted(Deleted::Marked)));
    assert_eq!(bed.out(), ["DeleteAck 1", "read Pull"]);
    bed.answer(7, page(false, 0, 0));
    bed.send(Delete { blob_id: BlobId([1; 16]) });
    bed.out();
    bed.answer(8, written(WriteResult::Deleted(Deleted::Gone)));
    assert_eq!(bed.out(), ["DeleteAck 0"]);
    assert_eq!(bed.session.unstored(), 0);
}

#[test]
fn a_refused_rotation_leaves_the_session_be() {
    let mut bed = Bed::ready();
    let mut id = 3;
    for (refusal, expected) in [
        (Refusal::Behind, "Error 19"),
        (Refusal::EpochStale, "Error 10"),
        (Refusal::RotationForged, "Error 3"),
        (Refusal::RotationOfOthers, "Error 1"),
        (Refusal::RotationRevives { device: bed::device().id() }, "Error 1"),
        (Refusal::RotationStays, "Error 1"),
        (Refusal::TooManyRotations, "Error 9"),
        (Refusal::StoreFull, "Error 8"),
    ] {
        bed.send(rotate());
        bed.out();
        id += 1;
        bed.answer(id, StoreReply::Written(Err(refusal)));
        assert_eq!(bed.out(), [expected]);
    }
}

#[test]
fn a_device_that_leaves_and_one_that_deletes_its_group_are_answered_and_done() {
    for (message, write, result, ack) in [
        (Message::from(Leave), "write Leave", WriteResult::Left, "LeaveAck"),
        (GroupDelete.into(), "write GroupDelete", WriteResult::GroupDeleted, "GroupDeleteAck"),
    ] {
        // The hub may know of the commit before the session does.
        for ending in [None, Some(Ending::Removed), Some(Ending::GroupDeleted)] {
            let mut bed = Bed::ready();
            bed.send(message.clone());
            assert_eq!(bed.out(), [write]);
            if let Some(ending) = ending {
                bed.session.handle_delivery(Delivery::Ended(ending), bed.now);
                assert_eq!(bed.out(), [""; 0]);
            }
            bed.answer(4, written(result.clone()));
            assert_eq!(bed.out(), [ack, "close 1000"]);
        }
    }
    let mut bed = Bed::ready();
    bed.send(GroupDelete);
    bed.out();
    bed.answer(4, StoreReply::Written(Err(Refusal::EpochStale)));
    assert_eq!(bed.out(), ["Error 10"], "refused, it goes on");
    bed.session.handle_delivery(Delivery::Ended(Ending::Removed), bed.now);
    assert_eq!(bed.out(), ["Error 4", "close 4004"]);
}

#[test]
fn who_has_lost_its_place_hears_it_from_any_answer() {
    for (refusal, expected) in [
        (Refusal::Revoked, ["Error 4", "close 4004"]),
        (Refusal::GroupDeleted, ["Error 16", "close 4016"]),
        (Refusal::Expired, ["Error 17", "close 4017"]),
    ] {
        for message in [Message::from(push(1, 0)), pull().into(), Devices.into(), rotate().into()] {
            let mut bed = Bed::ready();
            bed.send(message.clone());
            let reads = bed.out()[0].starts_with("read");
            bed.answer(
                4,
                match reads {
                    true => StoreReply::Read(ReadResult::Refused(refusal)),
                    false => StoreReply::Written(Err(refusal)),
                },
            );
            assert_eq!(bed.out(), expected, "{}", message.name());
        }
        // Between its transaction and its registration.
        let mut bed = Bed::new();
        bed.send(hello(&bed));
        bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
        bed.answer(2, admitted(0));
        bed.session.handle_registered(Arc::new(Bucket::new(100)));
        bed.out();
        bed.answer(3, StoreReply::Read(ReadResult::Refused(refusal)));
        assert_eq!(bed.out(), expected);
    }
}
