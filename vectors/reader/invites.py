"""Invites and the keys of codes (PROTOCOL.md, section 11)."""

import functools

from argon2.low_level import Type, hash_secret_raw

from .keys import auth_key, verify_log
from .notation import Refused
from .roster import ROSTER
from .schema import HASH, TIME, U32, Device, KeyLog, List, Maybe, Str, Struct, whole
from .sealed import FORMAT, SEEN, aead_open, aead_seal
from .text import read_address

LABEL = b"sync-relay invite v1"
LARGEST = 16_384
HISTORY = List(Struct(epoch=U32, secret=HASH), 400)
INVITE = Struct(relay=Str(), relay_key=Device(), group_id=HASH, key_log=KeyLog(), epoch=U32, secret=HASH,
                history=HISTORY, roster=ROSTER, seen=Maybe(SEEN), created_by=Device(), expires=TIME)


@functools.cache
def code_keys(code: bytes) -> tuple[bytes, bytes]:
    """The lookup key and the invite key of a code."""
    out = hash_secret_raw(code, b"sync-relay invite code v1", 3, 64 * 1024, 4, 48, Type.ID, 0x13)
    return out[:16], out[16:]


def open_invite(lookup: bytes, key: bytes, sealed: bytes) -> dict:
    if len(sealed) > LARGEST:
        raise Refused("TooLarge")
    if sealed[:1] not in (b"", FORMAT):
        raise Refused("UnknownFormat")
    if len(sealed) < 41:
        raise Refused("Decrypt")
    return read_invite(aead_open(key, sealed[1:25], sealed[25:], LABEL + lookup))


def read_invite(plaintext: bytes) -> dict:
    """What an invite says, and a recovery file."""
    try:
        invite = whole(INVITE, plaintext)
        check_invite(invite)
    except Refused:
        raise Refused("Malformed") from None
    return invite


def check_invite(invite: dict) -> None:
    """What a joiner looks at before it believes an invite."""
    log = invite["key_log"]
    newest = verify_log(log, invite["group_id"])
    keys = [log["genesis"]] + [link["auth_key"] for link in log["links"]]
    earlier = [each["epoch"] for each in invite["history"]]
    sound = (
        read_address(invite["relay"]) == invite["relay"]
        and len(log["links"]) == invite["epoch"]
        and auth_key(invite["secret"]) == newest
        and all(a < b for a, b in zip(earlier, earlier[1:] + [invite["epoch"]]))
        and all(auth_key(each["secret"]) == keys[each["epoch"]] for each in invite["history"])
    )
    if not sound:
        raise Refused("Malformed")


def seal_invite(lookup: bytes, key: bytes, nonce: bytes, invite: dict) -> bytes:
    return FORMAT + nonce + aead_seal(key, nonce, INVITE.write(invite), LABEL + lookup)
