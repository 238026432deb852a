"""Noise_XX_ and Noise_X_25519_ChaChaPoly_BLAKE2s, and the records in the former (PROTOCOL.md, sections 4 and 13)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .notation import Refused
from .schema import P

PROLOGUE = b"sync-relay/1"
PART = 65_518
XX = (("e",), ("e", "ee", "s", "es"), ("s", "se"))
X = (("e", "es", "s", "ss"),)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def _hkdf(chaining: bytes, material: bytes) -> tuple[bytes, bytes]:
    def mac(key, data):
        return hmac.new(key, data, hashlib.blake2s).digest()

    temporary = mac(chaining, material)
    first = mac(temporary, b"\x01")
    return first, mac(temporary, first + b"\x02")


def public_key(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _dh(secret: bytes, public: bytes) -> bytes:
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("Handshake") from None
    if shared == bytes(32):
        raise Refused("Handshake")
    return shared


def ephemeral_of(seed: bytes) -> bytes:
    """The first 32 bytes of the key stream: a convention of the test vectors."""
    return Cipher(algorithms.ChaCha20(seed, bytes(16)), None).encryptor().update(bytes(32))


class CipherState:
    def __init__(self, key: bytes):
        self.key, self.count = ChaCha20Poly1305(key), 0

    def _nonce(self) -> bytes:
        return bytes(4) + self.count.to_bytes(8, "little")

    def encrypt(self, data: bytes, associated: bytes = b"") -> bytes:
        out = self.key.encrypt(self._nonce(), data, associated)
        self.count += 1
        return out

    def decrypt(self, data: bytes, associated: bytes = b"") -> bytes:
        if len(data) < 16:
            raise Refused("Decrypt")
        try:
            out = self.key.decrypt(self._nonce(), data, associated)
        except InvalidTag:
            raise Refused("Decrypt") from None
        self.count += 1
        return out


class Handshake:
    """One end. `steps` counts messages, written and read."""

    NAME, PATTERN = b"Noise_XX_25519_ChaChaPoly_BLAKE2s", XX
    UNREADABLE = "Handshake"

    def __init__(self, initiator: bool, static: bytes, seed: bytes, prologue: bytes = PROLOGUE):
        self.initiator, self.static, self.ephemeral = initiator, static, ephemeral_of(seed)
        self.their_static = self.their_ephemeral = None
        self.hash = self.NAME.ljust(32, b"\0") if len(self.NAME) <= 32 else _hash(self.NAME)
        self.chaining, self.cipher, self.steps = self.hash, None, 0
        self._mix_hash(prologue)

    def _mix_hash(self, data: bytes) -> None:
        self.hash = _hash(self.hash + data)

    def _mix_dh(self, token: str) -> None:
        """The first letter is the initiator's key, the second the responder's."""
        mine, theirs = token if self.initiator else reversed(token)
        secret = self.ephemeral if mine == "e" else self.static
        shared = _dh(secret, self.their_ephemeral if theirs == "e" else self.their_static)
        self.chaining, key = _hkdf(self.chaining, shared)
        self.cipher = CipherState(key)

    def _encrypt(self, data: bytes) -> bytes:
        out = self.cipher.encrypt(data, self.hash) if self.cipher else data
        self._mix_hash(out)
        return out

    def _decrypt(self, data: bytes) -> bytes:
        try:
            out = self.cipher.decrypt(data, self.hash) if self.cipher else data
        except Refused:
            raise Refused(self.UNREADABLE) from None
        self._mix_hash(data)
        return out

    def write(self, payload: bytes = b"") -> bytes:
        out = b""
        for token in self.PATTERN[self.steps]:
            if token == "e":
                key = public_key(self.ephemeral)
                self._mix_hash(key)
                out += key
            elif token == "s":
                out += self._encrypt(public_key(self.static))
            else:
                self._mix_dh(token)
        self.steps += 1
        return out + self._encrypt(payload)

    def read(self, message: bytes) -> None:
        """A message whose payload must be empty."""
        if self.read_payload(message) != b"":
            raise Refused("Handshake")

    def read_payload(self, message: bytes) -> bytes:
        rest = message

        def take(count):
            nonlocal rest
            if len(rest) < count:
                raise Refused(self.UNREADABLE)
            taken, rest = rest[:count], rest[count:]
            return taken

        for token in self.PATTERN[self.steps]:
            if token == "e":
                self.their_ephemeral = take(32)
                self._mix_hash(self.their_ephemeral)
            elif token == "s":
                self.their_static = self._decrypt(take(48))
                if int.from_bytes(self.their_static, "little") >= P:
                    raise Refused("Handshake")
            else:
                self._mix_dh(token)
        self.steps += 1
        return self._decrypt(rest)

    def split(self) -> "Channel":
        first, second = (CipherState(key) for key in _hkdf(self.chaining, b""))
        return Channel(first, second) if self.initiator else Channel(second, first)


class OneWay(Handshake):
    """One message to a device whose key is known before."""

    NAME, PATTERN = b"Noise_X_25519_ChaChaPoly_BLAKE2s", X
    UNREADABLE = "Decrypt"


def seal_one_way(prologue: bytes, secret: bytes, to: bytes, payload: bytes, seed: bytes) -> bytes:
    state = OneWay(True, secret, seed, prologue)
    state._mix_hash(to)
    state.their_static = to
    return state.write(payload)


def open_one_way(prologue: bytes, secret: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """The payload, and the key of whoever sealed it."""
    state = OneWay(False, secret, bytes(32), prologue)
    state._mix_hash(public_key(secret))
    return state.read_payload(sealed), state.their_static


class Channel:
    """What each end has after the handshake: one cipher for each direction."""

    def __init__(self, sending: CipherState, receiving: CipherState):
        self.sending, self.receiving, self.parts = sending, receiving, b""

    def send(self, envelope: bytes) -> list[bytes]:
        parts = [envelope[at : at + PART] for at in range(0, len(envelope), PART)] or [b""]
        flags = [b"\0"] * (len(parts) - 1) + [b"\1"]
        return [self.sending.encrypt(flag + part) for flag, part in zip(flags, parts)]

    def receive(self, frame: bytes) -> bytes | None:
        """An envelope when the frame completes one."""
        record = self.receiving.decrypt(frame)
        if not record or record[0] > 1 or (record[0] == 0 and len(record) != 1 + PART):
            raise Refused("Record")
        self.parts += record[1:]
        if record[0] == 0:
            return None
        envelope, self.parts = self.parts, b""
        return envelope
