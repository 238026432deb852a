"""Sealed blobs, names and control blobs (PROTOCOL.md, section 10)."""

import unicodedata

import lz4.block
from nacl.bindings import (crypto_aead_xchacha20poly1305_ietf_decrypt as _open,
                           crypto_aead_xchacha20poly1305_ietf_encrypt as _seal)
from nacl.exceptions import CryptoError

from . import msgpack
from .keys import blob_key, name_key, u32be
from .msgpack import Decoder
from .notation import Refused
from .schema import ANY, CURSOR, HASH, ID, TIME, U8, U64, Maybe, Str, Struct

SEEN = Struct(store_id=ID, cursor=CURSOR, head=HASH)
PLAINTEXT = Struct(kind=U8, chain_id=ID, seq=U64, prev=HASH, prev_expires=TIME, seen=Maybe(SEEN), codec=U8, body=ANY)
CONTENT = Struct(**{name: kind for name, kind in PLAINTEXT.fields.items() if name != "codec"})
FORMAT = b"\x01"
NAME_LENGTH = 64
LONGEST_NAME = 62
PLATFORM = Str(32)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    try:
        return _open(ciphertext, associated, nonce, key)
    except (CryptoError, ValueError):
        raise Refused("Decrypt") from None


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return _seal(plaintext, associated, nonce, key)


def open_under_epoch(key: bytes, epoch: int, label: bytes, context: bytes, sealed: bytes, group: bytes) -> bytes:
    """What blobs and names have in common: `format, epoch, nonce, ciphertext`."""
    if sealed[:1] not in (b"", FORMAT):
        raise Refused("UnknownFormat")
    if len(sealed) < 45:
        raise Refused("Decrypt")
    if sealed[1:5] != u32be(epoch):
        raise Refused("WrongEpoch")
    return aead_open(key, sealed[5:29], sealed[29:], label + group + sealed[1:5] + context)


def seal_under_epoch(key, epoch, label, context, nonce, plaintext, group) -> bytes:
    associated = label + group + u32be(epoch) + context
    return FORMAT + u32be(epoch) + nonce + aead_seal(key, nonce, plaintext, associated)


def padded_length(length: int, most: int) -> int:
    size = max(length, 256)
    exponent = size.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return max(length, min((size + mask) & ~mask, most))


def malformed(read):
    """Turns every reason inside a plaintext into one."""

    def wrapped(*args):
        try:
            return read(*args)
        except Refused as refused:
            raise refused if refused.reason == "TooLarge" else Refused("Malformed") from None

    return wrapped


def zeros_behind(decoder: Decoder) -> None:
    if decoder.take(decoder.left()).strip(b"\0"):
        raise Refused("Malformed")


def unpack(block: bytes, largest: int) -> bytes:
    """u32 little-endian length, then one LZ4 block."""
    if len(block) < 4:
        raise Refused("Malformed")
    length = int.from_bytes(block[:4], "little")
    if length > largest:
        raise Refused("TooLarge")
    try:
        body = lz4.block.decompress(block[4:], uncompressed_size=length)
    except lz4.block.LZ4BlockError:
        raise Refused("Malformed") from None
    if len(body) != length:
        raise Refused("Malformed")
    return body


@malformed
def read_plaintext(plaintext: bytes, largest: int) -> dict:
    """The eight fields, the body as it was before it was packed, under `packed` as it lay there."""
    decoder = Decoder(plaintext)
    fields = PLAINTEXT.read(decoder)
    zeros_behind(decoder)
    if fields["kind"] > 2 or fields["codec"] > 1:
        raise Refused("Malformed")
    packed = fields["body"]
    if fields["codec"] == 1:
        fields["body"] = unpack(packed, largest)
    elif len(packed) > largest:
        raise Refused("TooLarge")
    return fields | {"packed": packed}


BLOB_LABEL = b"sync-relay blob v1"


def open_blob(secret, group, epoch, sender, blob_id, sealed, largest) -> dict:
    key = blob_key(secret)
    return read_plaintext(open_under_epoch(key, epoch, BLOB_LABEL, sender + blob_id, sealed, group), largest)


def seal_blob(secret, group, epoch, sender, blob_id, nonce, fields, most) -> bytes:
    """As it was packed; how a sender packs is its own affair."""
    plaintext = PLAINTEXT.write(fields | {"body": fields["packed"]})
    plaintext = plaintext.ljust(padded_length(len(plaintext), most), b"\0")
    return seal_under_epoch(blob_key(secret), epoch, BLOB_LABEL, sender + blob_id, nonce, plaintext, group)


def sound_name(name: str) -> None:
    """1 to 62 bytes, no control characters, no white space at its ends."""
    long = not 1 <= len(name.encode()) <= LONGEST_NAME
    if long or name != name.strip() or any(unicodedata.category(c) == "Cc" for c in name):
        raise Refused("OutOfRange")


NAME_LABEL = b"sync-relay name v1"


def open_name(secret, group, epoch, device, sealed) -> str:
    plaintext = open_under_epoch(name_key(secret), epoch, NAME_LABEL, device, sealed, group)
    return read_name(plaintext)


@malformed
def read_name(plaintext: bytes) -> str:
    decoder = Decoder(plaintext)
    name = decoder.text()
    zeros_behind(decoder)
    sound_name(name)
    return name


def seal_name(secret, group, epoch, device, nonce, name) -> bytes:
    plaintext = msgpack.text(name).ljust(NAME_LENGTH, b"\0")
    return seal_under_epoch(name_key(secret), epoch, NAME_LABEL, device, nonce, plaintext, group)


def read_control(body: bytes) -> dict:
    """The kind is looked at first, then whether the array has the length that goes with it."""
    decoder = Decoder(body)
    count = decoder.array()
    kind = U8.read(decoder)
    if kind not in (1, 2):
        raise Refused("UnknownType")
    if count != {1: 3, 2: 1}[kind]:
        raise Refused("WrongLength")
    fields = {}
    if kind == 1:
        fields["name"] = decoder.text()
        sound_name(fields["name"])
        fields["platform"] = PLATFORM.read(decoder)
    decoder.end()
    return fields


def write_control(fields: dict) -> bytes:
    if not fields:
        return msgpack.array(1) + msgpack.integer(2)
    name, platform = msgpack.text(fields["name"]), msgpack.text(fields["platform"])
    return msgpack.array(3) + msgpack.integer(1) + name + platform
