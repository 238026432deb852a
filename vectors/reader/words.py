"""Recovery phrases and files, and passphrase groups (PROTOCOL.md, sections 14 and 15)."""

import functools
import hashlib
import re
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw

from .invites import INVITE, read_invite
from .notation import Refused
from .sealed import aead_open, aead_seal

LIST = Path(__file__).parents[2] / "crates/sync-e2ee/words/eff_large.txt"
WORDS = 6
MAGIC = b"SYNCRCV1"
LARGEST = 2 * 1024 * 1024
# The characters that have the Unicode property White_Space.
WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


class NoPhrase(Refused):
    """`at` is the number of words, or which of them is unknown."""

    def __init__(self, reason: str, at: int):
        super().__init__(reason)
        self.at = at


@functools.cache
def _key(password: bytes, salt: bytes) -> bytes:
    return hash_secret_raw(password, salt, 3, 64 * 1024, 4, 32, Type.ID, 0x13)


@functools.cache
def words_of_the_list() -> dict[tuple[str, ...], str]:
    """Each word under what it consists of without hyphens."""
    return {tuple(word.split("-")): word for word in LIST.read_text(encoding="ascii").split()}


def read_phrase(text: str) -> str:
    """A word with a hyphen may come as two."""
    known = words_of_the_list()
    text = re.sub("[A-Z]", lambda letter: letter[0].lower(), text)
    parts = [part for part in re.split(f"[-{WHITE}]", text) if part]
    words = []
    while parts:
        pair = known.get(tuple(parts[:2])) if len(words) < WORDS and len(parts) > 1 else None
        words.append(pair or known.get((parts[0],)))
        parts = parts[2 if pair else 1 :]
    if len(words) != WORDS:
        raise NoPhrase("WordCount", len(words))
    if None in words:
        raise NoPhrase("UnknownWord", words.index(None) + 1)
    return " ".join(words)


def open_file(file: bytes, phrase: str) -> dict:
    if len(file) > LARGEST:
        raise Refused("TooLarge")
    if file[:8] != MAGIC or len(file) < 24:
        raise Refused("UnknownFormat")
    if len(file) < 64:
        raise Refused("Decrypt")
    key = _key(read_phrase(phrase).encode(), file[8:24])
    return read_invite(aead_open(key, file[24:48], file[48:], file[:24]))


def seal_file(fields: dict, phrase: str, salt: bytes, nonce: bytes) -> bytes:
    head, key = MAGIC + salt, _key(read_phrase(phrase).encode(), salt)
    return head + nonce + aead_seal(key, nonce, INVITE.write(fields), head)


def _trimmed(text: str) -> bytes:
    return re.sub(rf"\A[{WHITE}]+|[{WHITE}]+\Z", "", text).encode()


def passphrase_secret(group_name: str, passphrase: str) -> bytes:
    salt = hashlib.sha256(b"sync-relay passphrase group v1" + _trimmed(group_name)).digest()[:16]
    return _key(_trimmed(passphrase), salt)
