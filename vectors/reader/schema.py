"""The types of PROTOCOL.md, section 5. Each reads from a decoder, writes bytes, and loads what the files say."""

from . import msgpack
from .notation import Refused, as_bytes, as_list

P = 2**255 - 19


class Int:
    def __init__(self, highest: int):
        self.highest = highest

    def read(self, decoder):
        return decoder.integer(self.highest)

    def write(self, value):
        return msgpack.integer(value)

    def load(self, written):
        if type(written) is not int:
            raise ValueError(f"no integer: {written!r}")
        return written


class Bin:
    def __init__(self, length: int | None = None):
        self.length = length

    def read(self, decoder):
        value = decoder.binary()
        if self.length is not None and len(value) != self.length:
            raise Refused("WrongLength")
        return value

    def write(self, value):
        return msgpack.binary(value)

    def load(self, written):
        return as_bytes(written)


class Device(Bin):
    """A public key in its one form."""

    def __init__(self):
        super().__init__(32)

    def read(self, decoder):
        return canonical_key(super().read(decoder))


def canonical_key(key: bytes) -> bytes:
    if int.from_bytes(key, "little") >= P:
        raise Refused("NonCanonicalKey")
    return key


class Str:
    def __init__(self, longest: int | None = None):
        self.longest = longest

    def read(self, decoder):
        value = decoder.text()
        if self.longest is not None and len(value.encode()) > self.longest:
            raise Refused("TooLarge")
        return value

    def write(self, value):
        return msgpack.text(value)

    def load(self, written):
        if type(written) is not str:
            raise ValueError(f"no text: {written!r}")
        return written


class Bool:
    def read(self, decoder):
        return decoder.boolean()

    def write(self, value):
        return msgpack.boolean(value)

    def load(self, written):
        if type(written) is not bool:
            raise ValueError(f"no truth value: {written!r}")
        return written


class Maybe:
    def __init__(self, inner):
        self.inner = inner

    def read(self, decoder):
        return None if decoder.nil() else self.inner.read(decoder)

    def write(self, value):
        return msgpack.NIL if value is None else self.inner.write(value)

    def load(self, written):
        return None if written is None else self.inner.load(written)


class List:
    def __init__(self, item, most: int):
        self.item, self.most = item, most

    def read(self, decoder):
        count = decoder.array()
        if count > self.most:
            raise Refused("TooLarge")
        return [self.item.read(decoder) for _ in range(count)]

    def write(self, value):
        return msgpack.array(len(value)) + b"".join(map(self.item.write, value))

    def load(self, written):
        return [self.item.load(item) for item in as_list(written)]


class Struct:
    def __init__(self, **fields):
        self.fields = fields

    def read(self, decoder):
        if decoder.array() != len(self.fields):
            raise Refused("WrongLength")
        return self.read_fields(decoder)

    def read_fields(self, decoder):
        return {name: kind.read(decoder) for name, kind in self.fields.items()}

    def write(self, value):
        parts = (kind.write(value[name]) for name, kind in self.fields.items())
        return msgpack.array(len(self.fields)) + b"".join(parts)

    def load(self, written):
        if set(written) != set(self.fields):
            raise ValueError(f"other fields than {sorted(self.fields)}: {sorted(written)}")
        return {name: kind.load(written[name]) for name, kind in self.fields.items()}


class KeyLog:
    """`[key 0, [key 1, H1, signature 1], ...]` (section 2.1)."""

    MOST = 401
    key = Bin(32)
    link = Struct(auth_key=Bin(32), content_hash=Bin(32), signature=Bin(64))

    def read(self, decoder):
        count = decoder.array()
        if count == 0:
            raise Refused("WrongLength")
        if count > self.MOST:
            raise Refused("TooLarge")
        genesis = self.key.read(decoder)
        return {"genesis": genesis, "links": [self.link.read(decoder) for _ in range(count - 1)]}

    def write(self, value):
        head = msgpack.array(1 + len(value["links"])) + self.key.write(value["genesis"])
        return head + b"".join(map(self.link.write, value["links"]))

    def load(self, written):
        if set(written) != {"genesis", "links"}:
            raise ValueError(f"no key log: {sorted(written)}")
        links = [self.link.load(link) for link in as_list(written["links"])]
        return {"genesis": self.key.load(written["genesis"]), "links": links}


U8, U16, U32, U64 = Int(2**8 - 1), Int(2**16 - 1), Int(2**32 - 1), Int(2**64 - 1)
CURSOR = TIME = Int(msgpack.SAFE)
ID, HASH, ANY = Bin(16), Bin(32), Bin()


def whole(kind, data: bytes):
    """One value and nothing behind it."""
    decoder = msgpack.Decoder(data)
    value = kind.read(decoder)
    decoder.end()
    return value
