"""MessagePack with one encoding for each value (PROTOCOL.md, section 5)."""

from .notation import Refused

SAFE = 2**53 - 1

_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_STR = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}


class Decoder:
    """Reads one value after the other from the front."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left():
            raise Refused("Truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def end(self) -> None:
        if self.left():
            raise Refused("Trailing")

    def _number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def nil(self) -> bool:
        """Takes a nil if there is one."""
        if self.left() and self.data[self.at] == 0xC0:
            self.at += 1
            return True
        return False

    def boolean(self) -> bool:
        marker = self._number(1)
        if marker not in (0xC2, 0xC3):
            raise Refused("WrongType")
        return marker == 0xC3

    def integer(self, highest: int) -> int:
        marker = self._number(1)
        if marker < 0x80:
            value = marker
        elif marker in _UNSIGNED:
            width = _UNSIGNED[marker]
            value = self._number(width)
            if value < (0x80 if width == 1 else 1 << (8 * width // 2)):
                raise Refused("NotShortest")
        elif marker in _SIGNED:
            negative = self.take(_SIGNED[marker])[0] & 0x80
            raise Refused("OutOfRange" if negative else "NotShortest")
        else:
            raise Refused("OutOfRange" if marker >= 0xE0 else "WrongType")
        if value > highest:
            raise Refused("OutOfRange")
        return value

    def _length(self, widths: dict[int, int], fix: int, fix_bits: int) -> int:
        """What a marker says of the length of what follows."""
        marker = self._number(1)
        mask = (1 << fix_bits) - 1
        if fix_bits and marker & ~mask == fix:
            return marker & mask
        if marker not in widths:
            raise Refused("WrongType")
        width = widths[marker]
        length = self._number(width)
        narrower = max((w for w in widths.values() if w < width), default=0)
        if length < (1 << (8 * narrower) if narrower else 1 << fix_bits if fix_bits else 0):
            raise Refused("NotShortest")
        return length

    def binary(self) -> bytes:
        return self.take(self._length(_BIN, 0, 0))

    def text(self) -> str:
        data = self.take(self._length(_STR, 0xA0, 5))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("InvalidUtf8") from None

    def array(self) -> int:
        """The number of items, of which each takes a byte at least."""
        count = self._length(_ARRAY, 0x90, 4)
        if count > self.left():
            raise Refused("Truncated")
        return count


def integer(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    marker, width = next((m, w) for m, w in _UNSIGNED.items() if value < 1 << (8 * w))
    return bytes([marker]) + value.to_bytes(width, "big")


def _header(length: int, widths: dict[int, int], fix: int, fix_bits: int) -> bytes:
    if fix_bits and length < 1 << fix_bits:
        return bytes([fix | length])
    marker, width = next((m, w) for m, w in widths.items() if length < 1 << (8 * w))
    return bytes([marker]) + length.to_bytes(width, "big")


def binary(value: bytes) -> bytes:
    return _header(len(value), _BIN, 0, 0) + value


def text(value: str) -> bytes:
    data = value.encode("utf-8")
    return _header(len(data), _STR, 0xA0, 5) + data


def array(count: int) -> bytes:
    return _header(count, _ARRAY, 0x90, 4)


def boolean(value: bool) -> bytes:
    return b"\xc3" if value else b"\xc2"


NIL = b"\xc0"
