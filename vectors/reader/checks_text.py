"""text.json: codes, links and addresses."""

from . import text
from .case import only, same

FILE = "text"

# How each kind is read and written.
PLAIN = {
    "invite_codes": (text.read_code, text.write_code),
    "lookup_keys": (text.read_lookup, text.base32),
    "device_ids": (text.read_device, text.base64url),
}
LINKS = {
    "join_links": (text.read_link, text.write_link, ("page", "relay")),
    "app_urls": (text.read_app_url, text.write_app_url, ("scheme", "relay")),
}


def parts(content):
    names = *PLAIN, *LINKS, "relay_urls", "relay_addresses"
    sections = dict(zip(names, only(content, *names)))
    for name, (read, write) in PLAIN.items():
        yield from both(name, sections, accepted_plain, read, write)
    for name, (read, write, texts) in LINKS.items():
        yield from both(name, sections, accepted_link, read, write, texts)
    yield from both("relay_urls", sections, accepted_url, text.read_address)
    yield from both("relay_addresses", sections, accepted_address, text.read_pinned)


def both(name, sections, accept, read, *more):
    accepted, refused = only(sections[name], "accepted", "refused")
    yield f"{name} accepted", False, accept, accepted, read, *more
    yield f"{name} refused", True, refused_text, refused, read


def refused_text(case, read):
    """Some kinds have one reason only, which is not written down."""
    if "error" in case.values:
        case.refuses(read, case["text"])
    else:
        case.refuses_with("Text", read, case["text"])


def accepted_plain(case, read, write):
    same(read(case["text"]), case.bytes("bytes"), "value")
    same(write(case.bytes("bytes")), case["canonical"], "text")
    same(read(case["canonical"]), case.bytes("bytes"), "value read again")


def accepted_link(case, read, write, texts):
    expected = {name: case[name] for name in texts} | {name: case.bytes(name) for name in ("lookup", "key")}
    if "relay_key" in case.values:
        expected["relay_key"] = case.bytes("relay_key")
    same(read(case["text"]), expected, "link")
    same(write(expected), case["canonical"], "text")
    same(read(case["canonical"]), expected, "link read again")


def accepted_url(case, read):
    same(read(case["text"]), case["canonical"], "address")
    same(read(case["canonical"]), case["canonical"], "address read again")
    same(text.websocket(case["canonical"]), case["websocket"], "WebSocket address")


def accepted_address(case, read):
    expected = case["url"], None if case["key"] is None else case.bytes("key")
    same(read(case["text"]), expected, "address")
    same(text.write_pinned(*expected), case["canonical"], "text")
    same(read(case["canonical"]), expected, "address read again")
