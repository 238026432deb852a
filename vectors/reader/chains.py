"""Heads, chains, and where a closed epoch ends (PROTOCOL.md, section 10.2)."""

import hashlib

from .notation import Refused
from .sealed import open_blob

VOID = 2
ZEROS = bytes(32)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def first_head(group: bytes, store: bytes) -> bytes:
    return _sha256(b"sync-relay head v1" + group + store)


def next_head(head: bytes, cursor: int, blob_id: bytes, sender: bytes, payload_hash: bytes) -> bytes:
    return _sha256(head + cursor.to_bytes(8, "big") + blob_id + sender + payload_hash)


def same_head(mine: bytes, theirs: bytes) -> None:
    if mine != theirs:
        raise Refused("Fork")


def link_hash(content: dict, sealed: bytes) -> bytes:
    """What the next blob names as the one before it."""
    holds_a_place = content["kind"] == VOID and len(content["body"]) == 32
    return content["body"] if holds_a_place else _sha256(sealed)


def follow(tip: dict | None, secret, group, epoch, sender, blob_id, sealed, largest) -> dict:
    """The tip after one more blob of the chain."""
    content = open_blob(secret, group, epoch, sender, blob_id, sealed, largest)
    link = link_hash(content, sealed)
    place, before = (0, ZEROS) if tip is None else (tip["seq"] + 1, tip["hash"])
    if content["seq"] < place:
        raise Refused("Altered" if content["seq"] == place - 1 and link != before else "Known")
    if content["seq"] > place:
        raise Refused("Gap")
    if content["prev"] != before:
        raise Refused("Altered")
    return {"chain_id": content["chain_id"], "seq": content["seq"], "hash": link}


def counts(tips: list[dict], chain_id: bytes, seq: int, link: bytes) -> None:
    """Whether a blob of a closed epoch counts."""
    for tip in tips:
        if tip["chain_id"] == chain_id and (seq < tip["seq"] or (seq == tip["seq"] and link == tip["hash"])):
            return
    raise Refused("NotCounted")
