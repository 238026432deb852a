"""Rotations: what a relay sees of them, and what members do (PROTOCOL.md, section 13)."""

import hashlib

from .keys import auth_key, auth_pair, blob_key, check_signature, link_statement, u32be
from .msgpack import Decoder
from .noise import open_one_way, public_key, seal_one_way
from .notation import Refused
from .roster import MOST, ROSTER, ascends
from .schema import ANY, HASH, U32, Bin, Bool, Device, List, Struct, whole
from .sealed import aead_open, aead_seal, malformed, padded_length, zeros_behind

FORMAT = b"\x02"
INNER_FORMAT = b"\x01"
LOCKBOXES = List(Struct(device_id=Device(), sealed=Bin(128)), MOST)
ROTATION = Struct(epoch=U32, auth_key=HASH, lockboxes=LOCKBOXES, inner=ANY, signature=Bin(64))
CONTENT = Struct(roster=ROSTER, removed=ROSTER, history=Bool())


def read_rotation(payload: bytes) -> dict:
    if payload[:1] not in (b"", FORMAT):
        raise Refused("UnknownFormat")
    if not payload:
        raise Refused("Truncated")
    rotation = whole(ROTATION, payload[1:])
    if rotation["epoch"] == 0:
        raise Refused("OutOfRange")
    if not rotation["lockboxes"]:
        raise Refused("WrongLength")
    if not ascends(rotation["lockboxes"]):
        raise Refused("Unordered")
    return rotation


def write_rotation(rotation: dict) -> bytes:
    return FORMAT + ROTATION.write(rotation)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def content_hash(rotation: dict, sender: bytes, blob_id: bytes) -> bytes:
    boxes = _sha256(LOCKBOXES.write(rotation["lockboxes"]))
    return _sha256(sender + blob_id + boxes + _sha256(rotation["inner"]))


def link_of(rotation: dict, sender: bytes, blob_id: bytes) -> dict:
    """What the rotation adds to the key log."""
    found = content_hash(rotation, sender, blob_id)
    return {"auth_key": rotation["auth_key"], "content_hash": found, "signature": rotation["signature"]}


def verify(rotation: dict, group: bytes, signer: bytes, sender: bytes, blob_id: bytes) -> dict:
    link = link_of(rotation, sender, blob_id)
    check_signature(signer, link_statement(group, rotation["epoch"], link), link["signature"])
    return link


def _prologue(group: bytes, epoch: int, key: bytes, recipient: bytes) -> bytes:
    return b"sync-relay lockbox v1" + group + u32be(epoch) + key + recipient


def _associated(group: bytes, epoch: int, sender: bytes, blob_id: bytes) -> bytes:
    return b"sync-relay rotation v1" + group + u32be(epoch) + sender + blob_id


def seal_rotation(current: bytes, secret: bytes, following: bytes, group, epoch, blob_id, content, drawn) -> bytes:
    """`drawn` is a seed for each lockbox, then the nonce of the inner part."""
    key, sender = auth_key(following), public_key(secret)
    boxes = []
    for entry in content["roster"]:
        to, seed, drawn = entry["device_id"], drawn[:32], drawn[32:]
        sealed = seal_one_way(_prologue(group, epoch, key, to), secret, to, following, seed)
        boxes.append({"device_id": to, "sealed": sealed})
    plaintext = CONTENT.write(content)
    plaintext = plaintext.ljust(padded_length(len(plaintext), 2**63), b"\0")
    sealed = aead_seal(blob_key(following), drawn, plaintext, _associated(group, epoch, sender, blob_id))
    rotation = {"epoch": epoch, "auth_key": key, "lockboxes": boxes, "inner": INNER_FORMAT + drawn + sealed}
    link = link_of(rotation | {"signature": b""}, sender, blob_id)
    signature = auth_pair(current).sign(link_statement(group, epoch, link))
    return write_rotation(rotation | {"signature": signature})


@malformed
def read_content(plaintext: bytes) -> dict:
    decoder = Decoder(plaintext)
    content = CONTENT.read(decoder)
    zeros_behind(decoder)
    return content


def open_rotation(rotation: dict, group: bytes, epoch: int, sender: bytes, blob_id: bytes, secret: bytes) -> dict:
    """What a member reads with the new secret."""
    if rotation["epoch"] != epoch:
        raise Refused("WrongEpoch")
    inner = rotation["inner"]
    if auth_key(secret) != rotation["auth_key"] or not inner:
        raise Refused("Decrypt")
    if inner[:1] != INNER_FORMAT:
        raise Refused("UnknownFormat")
    if len(inner) < 41:
        raise Refused("Decrypt")
    plaintext = aead_open(blob_key(secret), inner[1:25], inner[25:], _associated(group, epoch, sender, blob_id))
    try:
        content = read_content(plaintext)
    except Refused:
        raise Refused("Malformed") from None
    stay = [entry["device_id"] for entry in content["roster"]]
    sound = (
        ascends(content["roster"])
        and ascends(content["removed"])
        and sender in stay
        and not any(entry["device_id"] in stay for entry in content["removed"])
        and stay == [box["device_id"] for box in rotation["lockboxes"]]
    )
    if not sound:
        raise Refused("Malformed")
    return content


def open_lockbox(rotation: dict, group: bytes, epoch: int, sender: bytes, device_secret: bytes) -> bytes | None:
    """The new secret; None when there is no lockbox for this device."""
    if rotation["epoch"] != epoch:
        raise Refused("WrongEpoch")
    me = public_key(device_secret)
    mine = [box["sealed"] for box in rotation["lockboxes"] if box["device_id"] == me]
    if not mine:
        return None
    try:
        secret, sealed_by = open_one_way(_prologue(group, epoch, rotation["auth_key"], me), device_secret, mine[0])
    except Refused:
        raise Refused("Decrypt") from None
    if sealed_by != sender:
        raise Refused("WrongSender")
    if auth_key(secret) != rotation["auth_key"]:
        raise Refused("Malformed")
    return secret
