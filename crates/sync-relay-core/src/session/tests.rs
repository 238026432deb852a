//! A session as a table: what comes in, what goes out. The test plays peer, storage and hub.

mod bed;
mod members;

use sync_types::limits::{DEFAULT_MAX_BLOB, MAX_SEALED_NAME};
use sync_types::*;

use super::*;
use crate::store::{Admitted, Backlog, Placed, Pushed, ReadResult, Refusal, StoreReply, WriteResult};
use bed::{Bed, backlog, group, hello, news, push, rotate};

fn admitted(epoch: u32) -> StoreReply {
    StoreReply::Written(Ok(WriteResult::Admitted(Admitted { epoch, acked: Cursor::ZERO })))
}

fn written(result: WriteResult) -> StoreReply {
    StoreReply::Written(Ok(result))
}

fn placed(cursor: u64) -> Placed {
    Placed {
        blob_id: push(1, 0).blob_id,
        cursor: Cursor::new(cursor).unwrap(),
        stored_at: UnixMs(5),
        fresh: true,
    }
}

fn pushed(cursor: u64) -> StoreReply {
    written(WriteResult::Pushed(Pushed { placed: vec![placed(cursor)] }))
}

fn page(has_more: bool, blobs: usize, max_cursor: u64) -> StoreReply {
    let blob = StoredBlob {
        blob_id: push(1, 0).blob_id,
        cursor: Cursor::ZERO.next(),
        sender_id: bed::device().id(),
        payload: Some(vec![]),
        timestamp: UnixMs(0),
        hash: None,
    };
    StoreReply::Read(ReadResult::Page(PullResponse {
        blobs: vec![blob; blobs],
        has_more,
        max_cursor: Cursor::new(max_cursor).unwrap(),
        oldest_cursor: Cursor::ZERO,
    }))
}

fn pull() -> Pull {
    Pull { after_cursor: Cursor::ZERO, limit: 0 }
}

#[test]
fn hello_is_read_written_registered_and_read_again_before_welcome() {
    let mut bed = Bed::new();
    bed.send(hello(&bed));
    assert_eq!(bed.out(), ["read KeyLog"]);
    assert!(!bed.session.wants_deliveries());
    bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
    assert_eq!(bed.out(), ["write Admit"]);
    bed.answer(2, admitted(0));
    assert_eq!(bed.out(), ["register"]);
    bed.session.handle_registered(Arc::new(Bucket::new(100)));
    assert_eq!(bed.out(), ["read Backlog"]);
    let found = Backlog { max_cursor: Cursor::new(7).unwrap(), newest: vec![news(6), news(7)], ..backlog() };
    bed.answer(3, StoreReply::Read(ReadResult::Backlog(found)));
    assert_eq!(bed.out(), ["Welcome", "Notify 6", "Notify 7"]);
    assert!(bed.session.wants_deliveries());
    let farewell = bed.session.farewell(bed.now);
    assert!(
        matches!(farewell, Some(WriteOp::Seen(seen)) if seen.devices == [(group().1, bed::device().id())])
    );
}

#[test]
fn a_hello_that_is_wrong_never_reaches_the_writer() {
    type Spoil = fn(&mut Hello);
    let cases: [(&str, Spoil, &[&str]); 8] = [
        ("no version", |h| h.version = 0, &["Error 2", "close 4002"]),
        ("another group", |h| h.group_id = GroupId([9; 32]), &["Error 1", "close 4001"]),
        ("a long name", |h| h.device_name = vec![0; MAX_SEALED_NAME + 1], &["Error 1", "close 4001"]),
        ("a long token", |h| h.access_token = Some("x".repeat(257).into()), &["Error 1", "close 4001"]),
        ("a wrong proof", |h| h.proof[0] ^= 1, &["read KeyLog", "Error 3", "close 4003"]),
        (
            "a key log of another group",
            |h| h.key_log = Some(KeyLog::new(AuthKey([5; 32]))),
            &["read KeyLog", "Error 3", "close 4003"],
        ),
        ("an epoch to come", |h| h.epoch = 1, &["read KeyLog", "Error 18"]),
        ("no key log", |h| h.key_log = None, &["read KeyLog", "Error 18"]),
    ];
    for (what, spoil, expected) in cases {
        let mut bed = Bed::new();
        let mut hello = hello(&bed);
        spoil(&mut hello);
        bed.send(hello);
        let mut out = bed.out();
        if out == ["read KeyLog"] {
            bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
            out.extend(bed.out());
        }
        assert_eq!(out, expected, "{what}");
        assert_eq!(bed.session.farewell(bed.now).map(|_| ()), None, "{what}");
    }
}

#[test]
fn who_keeps_bringing_no_key_log_is_sent_away() {
    let mut bed = Bed::new();
    for n in 1..=4 {
        let mut hello = hello(&bed);
        hello.key_log = None;
        bed.send(hello);
        assert_eq!(bed.out(), ["read KeyLog"]);
        bed.answer(n, StoreReply::Read(ReadResult::KeyLog(None)));
        let expected: &[&str] = if n < 4 { &["Error 18"] } else { &["Error 18", "close 4018"] };
        assert_eq!(bed.out(), expected);
    }
}

#[test]
fn what_the_transaction_refuses_ends_the_session_with_its_code() {
    for (reply, expected) in [
        (StoreReply::Written(Err(Refusal::Revoked)), &["Error 4", "close 4004"][..]),
        (StoreReply::Written(Err(Refusal::TooManyGroups)), &["Error 9", "close 4009"]),
        (StoreReply::Written(Err(Refusal::EpochStale)), &["Error 10", "close 4010"]),
        (StoreReply::Written(Err(Refusal::KeyLogConflict)), &["Error 12", "close 4012"]),
        (StoreReply::Written(Err(Refusal::CreationDenied)), &["Error 14", "close 4014"]),
        (StoreReply::Written(Err(Refusal::GroupDeleted)), &["Error 16", "close 4016"]),
        (StoreReply::Written(Err(Refusal::Expired)), &["Error 17", "close 4017"]),
        (StoreReply::Written(Err(Refusal::EpochUnknown)), &["Error 18"]),
        (StoreReply::Unavailable, &["Error 13 retry 2000", "close 4013"]),
    ] {
        let mut bed = Bed::new();
        bed.send(hello(&bed));
        bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
        bed.out();
        bed.answer(2, reply);
        assert_eq!(bed.out(), expected);
    }
}

#[test]
fn the_known_log_is_enough_for_a_device_that_brings_none() {
    let mut bed = Bed::new();
    let mut hello = hello(&bed);
    hello.key_log = None;
    bed.send(hello);
    bed.answer(1, StoreReply::Read(ReadResult::KeyLog(Some(group().2))));
    assert_eq!(bed.out(), ["read KeyLog", "write Admit"]);
}

#[test]
fn a_session_keeps_the_order_of_its_requests() {
    let mut bed = Bed::ready();
    bed.send(push(1, 3));
    bed.send(push(1, 4));
    bed.send(pull());
    bed.send(push(1, 5));
    bed.send(Devices);
    assert_eq!(bed.out(), ["write Push", "write Push"], "a pull waits for what is before it");
    assert_eq!((bed.session.unstored(), bed.session.submitted()), (3 * 128 + 12, 2 * 128 + 7));
    bed.answer(5, pushed(2));
    assert_eq!(bed.out(), ["PushAck 2"]);
    bed.answer(4, pushed(1));
    assert_eq!(bed.out(), ["PushAck 1", "read Pull"]);
    bed.answer(6, page(false, 0, 0));
    assert_eq!(bed.out(), ["PullResponse", "write Push"]);
    bed.answer(7, StoreReply::Unavailable);
    assert_eq!(bed.out(), ["Error 13 retry 2000", "read Devices"]);
    assert_eq!(bed.session.unstored(), 0);
    bed.answer(99, pushed(1));
    bed.answer(8, StoreReply::Read(ReadResult::Devices(vec![])));
    assert_eq!(bed.out(), ["DevicesResponse"]);
}

#[test]
fn acknowledgements_are_gathered_while_one_is_under_way() {
    let mut bed = Bed::ready();
    for n in [3, 4, 9, 5] {
        let cursor = Cursor::new(n).unwrap();
        bed.send(Ack { cursor });
    }
    assert_eq!(bed.out(), ["write Acknowledge 3"]);
    bed.answer(4, StoreReply::Written(Ok(WriteResult::Acknowledged)));
    assert_eq!(bed.out(), ["write Acknowledge 9"]);
    bed.answer(5, StoreReply::Written(Ok(WriteResult::Acknowledged)));
    assert_eq!(bed.out(), [""; 0]);
}

#[test]
fn requests_are_refused_one_by_one_and_the_session_goes_on() {
    let mut bed = Bed::ready();
    let as_blob = Push { payload: rotate().payload, ..push(1, 0) };
    let huge = Rotate { payload: vec![2; DEFAULT_MAX_BLOB as usize + 1], ..rotate() };
    for (message, expected) in [
        (Message::from(push(1, DEFAULT_MAX_BLOB as usize + 1)), "Error 6"),
        (PushBatch { blobs: vec![] }.into(), "Error 1"),
        (as_blob.clone().into(), "Error 1"),
        (PushBatch { blobs: vec![push(2, 0), as_blob] }.into(), "Error 1"),
        (Rotate { payload: push(1, 9).payload, ..rotate() }.into(), "Error 1"),
        (huge.into(), "Error 6"),
        (LeaveAck.into(), "Error 1"),
        (Message::from(hello(&bed)), "Error 1"),
    ] {
        bed.send(message.clone());
        assert_eq!(bed.out(), [expected], "{}", message.name());
    }
    bed.send(push(1, 1));
    assert_eq!(bed.out(), ["write Push"]);
    bed.answer(4, StoreReply::Written(Err(Refusal::BlobConflict)));
    assert_eq!(bed.out(), ["Error 12"]);
    bed.send(push(1, 1));
    bed.out();
    bed.answer(5, StoreReply::Written(Err(Refusal::Revoked)));
    assert_eq!(bed.out(), ["Error 4", "close 4004"]);
}

#[test]
fn beyond_the_allowance_the_wait_is_told_and_a_full_page_is_free() {
    let mut bed = Bed::ready();
    for _ in 0..100 {
        bed.send(pull());
    }
    bed.send(pull());
    assert_eq!(bed.out(), ["read Pull", "Error 5 retry 600"]);
    bed.answer(4, page(true, 100, 100));
    bed.out();
    let next = |after| Pull { after_cursor: Cursor::new(after).unwrap(), limit: 0 };
    bed.send(next(100));
    bed.send(pull());
    assert_eq!(bed.out(), ["Error 5 retry 600"], "one came back, not two");
    for id in 5..=103 {
        bed.answer(id, page(true, 100, 100));
        bed.out();
    }
    bed.send(pull());
    assert_eq!(bed.out(), ["Error 5 retry 600"], "what was free once is not free again");
    bed.answer(104, page(true, 100, 200));
    bed.out();
    bed.send(next(200));
    assert_eq!(bed.out().len(), 1);
    bed.answer(105, page(true, 99, 299));
    bed.out();
    bed.send(pull());
    assert_eq!(bed.out(), ["Error 5 retry 600"], "a small page is not free");
    for _ in 0..200 {
        bed.send(Presence::Own(1));
        assert_eq!(bed.out().len(), 2, "a sign of life is free");
    }
    bed.send(Presence::Own(2));
    assert_eq!(bed.out(), ["Error 5 retry 600"], "news for the others is not");
    bed.now.mono = bed.now.mono.plus(core::time::Duration::from_millis(600));
    bed.send(pull());
    assert_eq!(bed.out(), ["read Pull"], "as told");
}

#[test]
fn deliveries_are_told_once_and_in_order() {
    let mut bed = Bed::ready();
    let presence = PeerPresence { device_id: bed::device().id(), status: 1, last_seen: UnixMs(0) };
    for delivery in [
        Delivery::News(news(1)),
        Delivery::News(news(3)),
        Delivery::News(news(2)),
        Delivery::Presence(presence),
        Delivery::Ended(Ending::Replaced),
        Delivery::News(news(4)),
    ] {
        bed.session.handle_delivery(delivery, bed.now);
    }
    let expected = ["Notify 1", "Notify 3", "Presence", "Error 15", "close 4015"];
    assert_eq!(bed.out(), expected);
}

#[test]
fn silence_ends_a_session_and_a_sign_of_life_keeps_it() {
    let mut bed = Bed::new();
    assert_eq!(bed.session.poll_timeout(), Some(MonoMs(10_000)));
    bed.now.mono = MonoMs(9_999);
    bed.session.handle_timeout(bed.now);
    assert_eq!(bed.out(), [""; 0], "too early");
    bed.now.mono = MonoMs(10_000);
    bed.session.handle_timeout(bed.now);
    assert_eq!(bed.out(), ["close 4013"]);
    assert_eq!(bed.session.poll_timeout(), None);

    let mut bed = Bed::ready();
    bed.now.mono = MonoMs(70_000);
    bed.session.handle_alive(bed.now);
    bed.now.mono = MonoMs(144_999);
    bed.session.handle_timeout(bed.now);
    assert_eq!(bed.out(), [""; 0]);
    bed.now.mono = MonoMs(145_000);
    bed.session.handle_timeout(bed.now);
    assert_eq!(bed.out(), ["close 1001"]);
}

#[test]
fn an_envelope_that_does_not_end_ends_the_session_whatever_else_comes() {
    let mut bed = Bed::ready();
    let push = bed.envelope(&push(1, 200_000).into());
    let mut frames = bed.peer.seal(&push).unwrap().into_iter();
    let last = frames.next_back().unwrap();
    for (frame, at) in frames.zip([1_000, 20_000, 30_000]) {
        bed.now.mono = MonoMs(at);
        bed.session.handle_frame(&frame, bed.now);
    }
    // A minute, and what the largest envelope takes at 4 bytes a millisecond.
    let patience = 60_000 + Policy::default().max_envelope() as u64 / 4;
    assert!(patience > 60_000 + 250_000, "{patience}");
    for at in (60_000..1_000 + patience).step_by(60_000).chain([999 + patience]) {
        bed.now.mono = MonoMs(at);
        bed.session.handle_alive(bed.now);
        bed.session.handle_timeout(bed.now);
    }
    assert_eq!(bed.out(), [""; 0]);
    assert_eq!(bed.session.poll_timeout(), Some(MonoMs(1_000 + patience)));
    bed.session.handle_frame(&last, bed.now);
    assert_eq!(bed.out(), ["write Push"], "it has ended in time");
    assert_eq!(bed.session.poll_timeout(), Some(MonoMs(999 + patience + 75_000)));

    let first = bed.peer.seal(&push).unwrap().swap_remove(0);
    bed.session.handle_frame(&first, bed.now);
    bed.now.mono = MonoMs(999 + patience * 2);
    bed.session.handle_alive(bed.now);
    bed.session.handle_timeout(bed.now);
    assert_eq!(bed.out(), ["close 4013"]);
}

#[test]
fn a_relay_that_goes_down_answers_what_storage_has_and_takes_nothing_more() {
    let mut bed = Bed::ready();
    bed.send(push(1, 1));
    bed.send(pull());
    assert_eq!(bed.out(), ["write Push"]);
    bed.session.handle_shutdown(bed.now);
    bed.send(push(1, 2));
    assert_eq!(bed.out(), [""; 0]);
    bed.answer(4, pushed(1));
    assert_eq!(bed.out(), ["PushAck 1", "Error 13 retry 2000", "close 1001"]);
    for mut bed in [Bed::new(), Bed::ready()] {
        bed.session.handle_shutdown(bed.now);
        assert_eq!(bed.out(), ["Error 13 retry 2000", "close 1001"]);
    }
}

#[test]
fn a_session_that_is_over_says_nothing_more() {
    let mut bed = Bed::ready();
    bed.session.handle_text();
    assert_eq!(bed.out(), ["close 1003"]);
    let Bed { session, now, .. } = &mut bed;
    session.handle_text();
    session.handle_shutdown(*now);
    session.handle_timeout(Now { mono: MonoMs(1_000_000), ..*now });
    session.handle_delivery(Delivery::News(news(1)), *now);
    session.handle_stored(OpId(4), pushed(1), *now);
    session.handle_registered(Arc::new(Bucket::new(100)));
    assert_eq!(bed.out(), [""; 0]);
}

#[test]
fn text_another_sender_and_bytes_that_do_not_decrypt_end_the_session() {
    let mut bed = Bed::ready();
    bed.session.handle_text();
    assert_eq!(bed.out(), ["close 1003"]);

    let mut bed = Bed::ready();
    bed.session.handle_frame(&[0; 64], bed.now);
    assert_eq!(bed.out(), ["close 4001"]);
    bed.session.handle_frame(&[0; 64], bed.now);
    assert_eq!(bed.out(), [""; 0]);

    let mut bed = Bed::ready();
    let other = DeviceId::from_bytes([9; 32]).unwrap();
    let forged = Envelope::seal(&pull().into(), other, group().1, UnixMs(0), Nonce([0; 24]));
    bed.send_envelope(&forged);
    assert_eq!(bed.out(), ["Error 1", "close 4001"]);

    let mut bed = Bed::ready();
    let elsewhere =
        Envelope::seal(&pull().into(), bed::device().id(), GroupId([3; 32]), UnixMs(0), Nonce([0; 24]));
    bed.send_envelope(&elsewhere);
    assert_eq!(bed.out(), ["Error 1", "close 4001"]);
}

#[test]
fn hostile_input_never_panics_and_a_stranger_makes_no_writes() {
    for seed in 0..400_u64 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut raw = Session::new(bed::relay(), [1; 32], Now::default());
        let mut garbage = vec![0; (rng.next_u32() % 300) as usize];
        rng.fill_bytes(&mut garbage);
        raw.handle_frame(&garbage, Now::default());
        raw.handle_frame(&garbage, Now::default());

        // Through the channel: envelopes of every kind with bytes changed, cut off or added.
        let mut bed = if seed % 2 == 0 { Bed::new() } else { Bed::ready() };
        let stranger = !bed.session.wants_deliveries();
        for _ in 0..10 {
            let message = match rng.next_u32() % 6 {
                0 => Message::from(hello(&bed)),
                1 => push(1, 20).into(),
                2 => pull().into(),
                3 => rotate().into(),
                4 => PushBatch { blobs: vec![push(1, 3), push(2, 4)] }.into(),
                _ => Presence::Own(1).into(),
            };
            let mut envelope = bed.envelope(&message);
            for _ in 0..rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % envelope.len();
                envelope[at] = rng.next_u32() as u8;
            }
            if rng.next_u32().is_multiple_of(8) {
                envelope.truncate(rng.next_u32() as usize % envelope.len());
            }
            bed.send_envelope(&envelope);
            let out = bed.out();
            assert!(!stranger || !out.iter().any(|o| o.starts_with("write")), "{out:?}");
            bed.answer(rng.next_u64() % 12, pushed(1));
            bed.out();
        }
    }
}

#[test]
fn every_refusal_is_told_once_with_or_without_an_error_message() {
    let mut bed = Bed::ready();
    assert_eq!(bed.session.poll_refusal(), None);
    bed.send(PushBatch { blobs: vec![] });
    assert_eq!(bed.session.poll_refusal(), Some(ErrorCode::BadRequest));
    assert_eq!(bed.session.poll_refusal(), None, "the session goes on");

    let mut bed = Bed::new();
    let wrong = Hello { proof: [0; 64], ..hello(&bed) };
    bed.send(wrong);
    bed.answer(1, StoreReply::Read(ReadResult::KeyLog(None)));
    assert!(bed.session.is_closed());
    assert_eq!(bed.session.poll_refusal(), Some(ErrorCode::Unauthenticated));
    assert_eq!(bed.session.poll_refusal(), None, "the close belongs to the ERROR");

    let mut bed = Bed::new();
    bed.session.handle_frame(&[0; 40], bed.now);
    bed.session.handle_frame(&[0; 40], bed.now);
    assert_eq!(bed.session.poll_refusal(), Some(ErrorCode::BadRequest), "no channel, no ERROR");
    assert_eq!(bed.session.poll_refusal(), None);
}
