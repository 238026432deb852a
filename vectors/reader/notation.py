"""How the files write byte strings, lists and refusals."""

import hashlib
import re


class Refused(Exception):
    """What was read breaks the protocol; `reason` is one of the names in vectors/README.md."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def as_bytes(text: str) -> bytes:
    """`0a0b 07*300`: pieces with spaces between them, each of them perhaps many times."""
    if text == "":
        return b""
    out = bytearray()
    for piece in text.split(" "):
        match = re.fullmatch(r"((?:[0-9a-f]{2})+)(?:\*([1-9][0-9]*))?", piece)
        if match is None:
            raise ValueError(f"no byte string: {piece[:40]!r}")
        out += bytes.fromhex(match[1]) * int(match[2] or 1)
    return bytes(out)


def as_list(value: list | dict) -> list:
    """A list, or `{item, times}`."""
    if isinstance(value, list):
        return value
    if set(value) != {"item", "times"}:
        raise ValueError(f"neither a list nor an item many times: {sorted(value)}")
    return [value["item"]] * value["times"]


def same_frame(written: str, frame: bytes) -> bool:
    """Long frames are written as their length and their hash."""
    match = re.fullmatch(r"([0-9]+) bytes, SHA-256 ([0-9a-f]{64})", written)
    if match is None:
        return as_bytes(written) == frame
    return int(match[1]) == len(frame) and match[2] == hashlib.sha256(frame).hexdigest()
