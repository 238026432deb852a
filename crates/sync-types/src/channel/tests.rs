use super::*;
use crate::limits::MAX_RECORD_BODY;

fn device() -> DeviceSecret {
    DeviceSecret::from_bytes([1; 32])
}

fn relay() -> RelaySecret {
    RelaySecret::from_bytes([2; 32])
}

fn connected() -> (Channel, Channel) {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).unwrap();
    let (responder, second) = Responder::answer(&relay(), [4; 32], &first).unwrap();
    let (client, third) = initiator.read(&second).unwrap().finish().unwrap();
    (client, responder.finish(&third).unwrap())
}

#[test]
fn both_ends_agree_on_the_connection_and_on_each_other() {
    let (client, server) = connected();
    assert_eq!(client.handshake_hash(), server.handshake_hash());
    assert_eq!(client.peer(), DeviceId::from(relay().key()));
    assert_eq!(server.peer(), device().id());
}

#[test]
fn an_envelope_of_a_megabyte_crosses_in_records() {
    let (mut client, mut server) = connected();
    server.set_max_envelope(2 << 20);
    let envelope = vec![7; 1 << 20];
    let frames = client.seal(&envelope).unwrap();
    assert_eq!(frames.len(), (1_usize << 20).div_ceil(MAX_RECORD_BODY));
    assert!(frames.iter().all(|f| f.len() <= MAX_NOISE_MESSAGE));
    let mut arrived = None;
    for frame in &frames {
        assert_eq!(arrived, None);
        arrived = server.open(frame).unwrap();
    }
    assert_eq!(arrived, Some(envelope));
}

#[test]
fn before_the_bound_is_raised_a_stranger_cannot_send_more_than_64_kib() {
    let (mut client, mut server) = connected();
    let frames = client.seal(&vec![0; MAX_UNAUTHENTICATED + 1]).unwrap();
    assert_eq!(server.open(&frames[0]), Ok(None));
    assert_eq!(server.open(&frames[1]), Err(ChannelError::TooLarge));
}

#[test]
fn a_garbage_frame_does_not_advance_the_nonce() {
    let (mut client, mut server) = connected();
    let frame = client.seal(b"real").unwrap().remove(0);
    let mut garbage = frame.clone();
    garbage[5] ^= 1;
    assert_eq!(server.open(&garbage), Err(ChannelError::Decrypt));
    assert_eq!(server.open(&[]), Err(ChannelError::Decrypt));
    assert_eq!(server.open(&vec![0; MAX_NOISE_MESSAGE + 1]), Err(ChannelError::Decrypt));
    assert_eq!(server.open(&frame).unwrap().as_deref(), Some(&b"real"[..]));
    assert_eq!(server.open(&frame), Err(ChannelError::Decrypt), "a replayed frame");
}

#[test]
fn low_order_ephemeral_keys_fail_the_handshake() {
    // The points of small order on Curve25519 whose multiples are all zero (RFC 7748 §6.1), in
    // canonical and non-canonical form.
    let mut one = [0; 32];
    one[0] = 1;
    let order_8: [u8; 32] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ];
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    for low in [[0; 32], one, order_8, p] {
        let answer = Responder::answer(&relay(), [4; 32], &low);
        assert_eq!(answer.err(), Some(ChannelError::Handshake), "as the client's ephemeral key");
    }
}

#[test]
fn another_prologue_payload_or_length_fails_the_handshake() {
    let (initiator, first) = Initiator::start(&device(), [3; 32]).unwrap();
    let mut with_payload = first.clone();
    with_payload.push(0);
    assert_eq!(Responder::answer(&relay(), [4; 32], &with_payload).err(), Some(ChannelError::Handshake));
    assert_eq!(Responder::answer(&relay(), [4; 32], &first[..31]).err(), Some(ChannelError::Handshake));
    let (_, mut second) = Responder::answer(&relay(), [4; 32], &first).unwrap();
    second[40] ^= 1;
    assert_eq!(initiator.read(&second).err(), Some(ChannelError::Handshake));

    let foreign =
        Builder::with_resolver(PATTERN.parse().unwrap(), Box::new(resolver::Resolver::new([9; 32])));
    let mut foreign =
        foreign.local_private_key(&[1; 32]).unwrap().prologue(b"other/1").unwrap().build_initiator().unwrap();
    let first = write(&mut foreign).unwrap();
    let (_, second) = Responder::answer(&relay(), [4; 32], &first).unwrap();
    assert_eq!(read(&mut foreign, &second), Err(ChannelError::Handshake));
}

#[test]
fn handshakes_are_reproducible_from_their_seed() {
    let (_, a) = Initiator::start(&device(), [3; 32]).unwrap();
    let (_, b) = Initiator::start(&device(), [3; 32]).unwrap();
    let (_, c) = Initiator::start(&device(), [5; 32]).unwrap();
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?} {:?}", device(), relay());
    assert!(text.contains("public"));
    assert!(!text.contains("secret"));
}
