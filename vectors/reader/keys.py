"""Keys, key logs and proofs of membership (PROTOCOL.md, section 2)."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from .notation import Refused
from .schema import P
from .text import base32

D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def u32be(value: int) -> bytes:
    return value.to_bytes(4, "big")


def derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, label).derive(secret)


def blob_key(secret: bytes) -> bytes:
    return derive(secret, b"sync-relay blob key v1")


def name_key(secret: bytes) -> bytes:
    return derive(secret, b"sync-relay name key v1")


def auth_pair(secret: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive(secret, b"sync-relay auth seed v1"))


def auth_key(secret: bytes) -> bytes:
    return auth_pair(secret).public_key().public_bytes_raw()


def group_of(genesis: bytes) -> bytes:
    return hashlib.sha256(b"sync-relay group id v1" + genesis).digest()


def point(encoded: bytes) -> tuple[int, int] | None:
    """RFC 8032, 5.1.3; None for what is no point, or not in its one form."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def _double(at: tuple[int, int]) -> tuple[int, int]:
    x, y = at
    product = D * x * x * y * y % P
    return 2 * x * y * pow(1 + product, -1, P) % P, (y * y + x * x) * pow(1 - product, -1, P) % P


def sound_key(key: bytes) -> None:
    at = point(key)
    if at is None or _double(_double(_double(at))) == (0, 1):
        raise Refused("InvalidKey")


def check_signature(key: bytes, message: bytes, signature: bytes) -> None:
    """libsodium refuses an S that is not reduced and an R of small order, and compares without the cofactor."""
    sound_key(key)
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        raise Refused("BadSignature") from None


def link_statement(group: bytes, epoch: int, link: dict) -> bytes:
    return b"sync-relay rotate v1" + group + u32be(epoch) + link["auth_key"] + link["content_hash"]


def verify_log(log: dict, group: bytes) -> bytes:
    """The newest auth key of a log that is the group's. That key has signed nothing yet: nobody looks at it."""
    if group_of(log["genesis"]) != group:
        raise Refused("WrongGroup")
    key = log["genesis"]
    for epoch, link in enumerate(log["links"], 1):
        check_signature(key, link_statement(group, epoch, link), link["signature"])
        key = link["auth_key"]
    return key


def fingerprint(log: dict, group: bytes) -> str:
    """What two people compare."""
    epoch, newest = len(log["links"]), (log["links"] or [{"auth_key": log["genesis"]}])[-1]["auth_key"]
    text = base32(hashlib.sha256(b"sync-relay fingerprint v1" + group + u32be(epoch) + newest).digest())
    return "-".join(text[at : at + 4] for at in range(0, 12, 4))


def longer_log(known: dict, other: dict, group: bytes) -> dict:
    """Which of two logs counts."""
    verify_log(other, group)
    if any(mine != theirs for mine, theirs in zip(known["links"], other["links"])):
        raise Refused("Conflict")
    return max(known, other, key=lambda log: len(log["links"]))


def proof_statement(handshake: bytes, group: bytes, epoch: int, device: bytes) -> bytes:
    return b"sync-relay hello v1" + handshake + group + u32be(epoch) + device
