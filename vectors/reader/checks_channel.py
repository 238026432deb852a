"""channel.json: handshakes, and records in frames."""

from .case import only, same
from .notation import Refused, as_bytes, same_frame
from .noise import Handshake, public_key

FILE = "channel"
PARTIES = ("device_secret", "device_seed", "relay_secret", "relay_seed")


def parts(content):
    parties, accepted, handshakes, frames = only(content, "parties", "accepted", "refused_handshakes", "refused_frames")
    parties = [as_bytes(value) for value in only(parties, *PARTIES)]
    yield "accepted", False, accepted_channel, accepted
    yield "refused_handshakes", True, refused_handshake, handshakes, parties
    yield "refused_frames", True, refused_frames, frames, parties


def ends(parties):
    device_secret, device_seed, relay_secret, relay_seed = parties
    return Handshake(True, device_secret, device_seed), Handshake(False, relay_secret, relay_seed)


def shake(device, relay):
    """The three messages, each read by the other end."""
    messages = []
    for sender, reader in ((device, relay), (relay, device), (device, relay)):
        message = sender.write()
        reader.read(message)
        messages.append(message)
    return messages


def accepted_channel(case):
    parties = case.all_bytes(*PARTIES)
    device, relay = ends(parties)
    same(public_key(parties[0]), case.bytes("device_id"), "device id")
    same(public_key(parties[2]), case.bytes("relay_key"), "relay key")
    same(shake(device, relay), case.all_bytes("first", "second", "third"), "handshake")
    same((device.hash, relay.hash), (case.bytes("handshake_hash"),) * 2, "handshake hash")
    same((device.their_static, relay.their_static), (case.bytes("relay_key"), case.bytes("device_id")), "peer")
    channels = {"device": device.split(), "relay": relay.split()}
    others = {"device": "relay", "relay": "device"}
    for each in case["envelopes"]:
        sender, envelope, written = only(each, "from", "envelope", "frames")
        frames = channels[sender].send(as_bytes(envelope))
        same(len(frames), len(written), "number of frames")
        for frame, expected in zip(frames, written):
            if not same_frame(expected, frame):
                raise ValueError("another frame than expected")
        received = [channels[others[sender]].receive(frame) for frame in frames]
        same(received, [None] * (len(frames) - 1) + [as_bytes(envelope)], "envelope received")


def refused_handshake(case, parties):
    """The handshake goes well up to the message given in place of the expected one. A first message is
    refused by the time that the relay has written the second."""
    device, relay = ends(parties)
    message, number = case.bytes("bytes"), case["message"]
    if number > 1:
        relay.read(device.write())
    if number > 2:
        device.read(relay.write())

    def first():
        relay.read(message)
        relay.write()

    def third():
        device.write()
        relay.read(message)

    case.refuses({1: first, 2: lambda: device.read(message), 3: third}[number])


def refused_frames(case, parties):
    """From the device to the relay, right after the handshake: the last frame is refused."""
    device, relay = ends(parties)
    shake(device, relay)
    channel = relay.split()
    *before, last = case["frames"]
    for frame in before:
        try:
            channel.receive(as_bytes(frame))
        except Refused:
            raise ValueError("a frame before the last one is refused") from None
    case.refuses(channel.receive, as_bytes(last))
