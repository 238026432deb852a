"""Envelopes and messages (PROTOCOL.md, sections 6 and 7)."""

from .msgpack import Decoder
from .notation import Refused
from .schema import (ANY, CURSOR, HASH, ID, TIME, U8, U16, U32, Bin, Bool, Device, KeyLog, List, Maybe, Str,
                     Struct, whole)

BATCH = 512
PAGE = 1000
DEVICES = 10_000

PUSH = Struct(blob_id=ID, payload=ANY, ttl=Maybe(U32))
NOTHING = Struct()


class Presence:
    """Two shapes, told apart by the length of the array."""

    SHAPES = {1: Struct(status=U8), 3: Struct(device_id=Device(), status=U8, last_seen=TIME)}

    def read(self, decoder):
        shape = self.SHAPES.get(decoder.array())
        if shape is None:
            raise Refused("WrongLength")
        return shape.read_fields(decoder)

    def write(self, value):
        return self.SHAPES[len(value)].write(value)

    def load(self, written):
        return self.SHAPES[len(written)].load(written)


MESSAGES = {
    0x01: ("Hello", Struct(version=U16, device_name=ANY, group_id=HASH, last_cursor=CURSOR, store_id=ID, epoch=U32,
                           key_log=Maybe(KeyLog()), proof=Bin(64), features=U32, access_token=Maybe(Str()))),
    0x02: ("Welcome", Struct(version=U16, relay_id=Str(), max_cursor=CURSOR, pending_count=U32, store_id=ID,
                             oldest_cursor=CURSOR, at_cursor=Maybe(ID), epoch=U32, max_blob_size=U32,
                             default_ttl=U32, features=U32)),
    0x10: ("Push", PUSH),
    0x11: ("PushAck", Struct(blob_id=ID, cursor=CURSOR, timestamp=TIME)),
    0x12: ("PushBatch", Struct(blobs=List(PUSH, BATCH))),
    0x13: ("PushBatchAck", Struct(stored=List(Struct(blob_id=ID, cursor=CURSOR), BATCH), timestamp=TIME)),
    0x20: ("Pull", Struct(after_cursor=CURSOR, limit=U32)),
    0x21: ("PullResponse", Struct(blobs=List(Struct(blob_id=ID, cursor=CURSOR, sender_id=Device(), payload=Maybe(ANY),
                                                    timestamp=TIME, hash=Maybe(HASH)), PAGE),
                                  has_more=Bool(), max_cursor=CURSOR, oldest_cursor=CURSOR)),
    0x22: ("Ack", Struct(cursor=CURSOR)),
    0x30: ("Presence", Presence()),
    0x31: ("Notify", Struct(blob_id=ID, cursor=CURSOR, sender_id=Device(), timestamp=TIME, size=U32,
                            payload=Maybe(ANY))),
    0x40: ("Delete", Struct(blob_id=ID)),
    0x41: ("DeleteAck", Struct(blob_id=ID, state=U8)),
    0x50: ("Devices", NOTHING),
    0x51: ("DevicesResponse", Struct(devices=List(Struct(device_id=Device(), device_name=ANY, acked_cursor=CURSOR,
                                                         last_seen=TIME, online=Bool()), DEVICES))),
    0x52: ("Rotate", Struct(blob_id=ID, after=CURSOR, payload=ANY)),
    0x53: ("RotateAck", Struct(epoch=U32, cursor=CURSOR)),
    0x54: ("Leave", NOTHING),
    0x55: ("LeaveAck", NOTHING),
    0x56: ("GroupDelete", NOTHING),
    0x57: ("GroupDeleteAck", NOTHING),
    0xFF: ("Error", Struct(code=U16, message=Str(), retry_after_ms=Maybe(U32))),
}
ABOUT_ONE_BLOB = {"PushAck", "Notify", "RotateAck"}

VERSION = 1


class Version:
    """The first field of an envelope: any other version is refused before the rest is looked at."""

    def read(self, decoder):
        if U8.read(decoder) != VERSION:
            raise Refused("UnknownVersion")
        return VERSION

    def write(self, value):
        return U8.write(value)

    def load(self, written):
        return written


ENVELOPE = Struct(version=Version(), msg_type=U8, sender_id=Device(), group_id=HASH, cursor=CURSOR, timestamp=TIME,
                  nonce=Bin(24), payload=ANY)
HEADER = Struct(**{name: kind for name, kind in ENVELOPE.fields.items() if name not in ("version", "payload")})


def open_envelope(data: bytes) -> dict:
    """An envelope with a payload that nobody has looked at. A refusal ends the session."""
    return whole(ENVELOPE, data)


def open_body(envelope: dict):
    """The message in a sound envelope. A refusal is answered, and the session goes on."""
    if envelope["msg_type"] not in MESSAGES:
        raise Refused("UnknownType")
    name, kind = MESSAGES[envelope["msg_type"]]
    decoder = Decoder(envelope["payload"])
    body = kind.read(decoder)
    decoder.end()
    if envelope["cursor"] != (body["cursor"] if name in ABOUT_ONE_BLOB else 0):
        raise Refused("OutOfRange")
    return body


def seal_envelope(header: dict, fields: dict) -> tuple[bytes, dict]:
    """The bytes of a message given as the files have it, and its body."""
    _, kind = MESSAGES[header["msg_type"]]
    body = kind.load(fields)
    return ENVELOPE.write(HEADER.load(header) | {"version": VERSION, "payload": kind.write(body)}), body
