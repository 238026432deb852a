"""What people read and type: codes, keys, links and addresses (PROTOCOL.md, sections 2 and 11)."""

import base64
import ipaddress
import re

from . import msgpack
from .notation import Refused
from .schema import Bin, Device, Str, Struct, canonical_key, whole

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LINK_DATA = Struct(relay=Str(), relay_key=Device(), lookup=Bin(16), key=Bin(32))
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def base32(data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(BASE32[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


def from_base32(text: str, length: int, reason: str) -> bytes:
    """Case does not count, I and L are 1, O is 0; what is left over after the last byte must be zero."""
    text = text.upper().translate(str.maketrans("ILO", "110")) if text.isascii() else "?"
    if any(c not in BASE32 for c in text) or len(text) != -(-length * 8 // 5):
        raise Refused(reason)
    bits = "".join(f"{BASE32.index(c):05b}" for c in text)
    if "1" in bits[length * 8 :]:
        raise Refused(reason)
    return int(bits[: length * 8], 2).to_bytes(length, "big")


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str, reason: str, length: int | None = None) -> bytes:
    """Without padding, and in the one form that the bytes have."""
    if re.fullmatch(r"[A-Za-z0-9_-]*", text) is None or len(text) % 4 == 1:
        raise Refused(reason)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(data) != text or (length is not None and len(data) != length):
        raise Refused(reason)
    return data


def read_code(text: str) -> bytes:
    if len(text.encode()) > 64:
        raise Refused("Code")
    return from_base32("".join(text.replace("-", "").split()), 10, "Code")


def write_code(code: bytes) -> str:
    text = base32(code)
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def read_lookup(text: str, reason: str = "Text") -> bytes:
    return from_base32(text, 16, reason)


def read_device(text: str, reason: str = "Text") -> bytes:
    key = from_base64url(text, reason, 32)
    try:
        return canonical_key(key)
    except Refused:
        raise Refused(reason) from None


def _host(host: str) -> bool:
    if host.startswith("["):
        try:
            return host.endswith("]") and ipaddress.IPv6Address(host[1:-1]).scope_id is None
        except ValueError:
            return False
    return re.fullmatch(r"[A-Za-z0-9._-]+", host) is not None


def read_address(text: str) -> str:
    """The canonical form of a relay's address."""
    if len(text.encode()) > 512:
        raise Refused("NotAUrl")
    text = text.strip()
    if not text or not text.isascii() or re.search(r"[\x00-\x20\x7f#]", text):
        raise Refused("NotAUrl")
    scheme, separator, rest = text.partition("://")
    scheme = SCHEMES.get(scheme.lower())
    if not separator or scheme is None:
        raise Refused("Scheme")
    if "?" in rest or "@" in rest.split("/")[0]:
        raise Refused("Extra")
    authority, slash, path = rest.partition("/")
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(0|[1-9][0-9]*))?", authority)
    if match is None or not _host(match[1]) or int(match[2] or 0) > 65535:
        raise Refused("NotAUrl")
    return f"{scheme}://{authority.lower()}{(slash + path).rstrip('/')}"


def websocket(address: str) -> str:
    return f"ws{address.removeprefix('http')}/sync"


def read_pinned(text: str) -> tuple[str, bytes | None]:
    """An address that may be followed by `#relay=KEY`."""
    address, separator, fragment = text.strip().partition("#")
    url = read_address(address)
    if not separator:
        return url, None
    if not fragment.startswith("relay="):
        raise Refused("Key")
    return url, read_device(fragment.removeprefix("relay="), "Key")


def write_pinned(url: str, key: bytes | None) -> str:
    return url if key is None else f"{url}#relay={base64url(key)}"


def _address_or_link(text: str) -> str:
    try:
        return read_address(text)
    except Refused:
        raise Refused("Link") from None


def read_link(text: str) -> dict:
    before, _, fragment = text.strip().partition("#")
    before = before.removesuffix("/")
    if not before.endswith("/join"):
        raise Refused("Link")
    page = _address_or_link(before.removesuffix("/join"))
    version, _, rest = fragment.partition(".")
    if re.fullmatch(r"v[1-9][0-9]*", version) is None:
        raise Refused("Link")
    if version != "v1":
        raise Refused("NewerVersion")
    parts = rest.split(".", 2)
    if len(parts) < 2:
        raise Refused("Link")
    relay = _address_or_link(parts[2]) if len(parts) == 3 else page
    lookup, key = read_lookup(parts[0], "Link"), from_base64url(parts[1], "Link", 32)
    return {"page": page, "relay": relay, "lookup": lookup, "key": key}


def write_link(link: dict) -> str:
    text = f"{link['page']}/join#v1.{base32(link['lookup'])}.{base64url(link['key'])}"
    return text if link["relay"] == link["page"] else f"{text}.{link['relay']}"


def read_app_url(text: str) -> dict:
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://sync\?invite=(.*)", text.strip())
    if match is None:
        raise Refused("Link")
    try:
        link = whole(LINK_DATA, from_base64url(match[2], "Link"))
    except Refused:
        raise Refused("Link") from None
    if _address_or_link(link["relay"]) != link["relay"]:
        raise Refused("Link")
    return {"scheme": match[1]} | link


def write_app_url(link: dict) -> str:
    return f"{link['scheme']}://sync?invite={base64url(LINK_DATA.write(link))}"
