"""sealed.json: what only members can read."""

from .case import only, same
from .invites import INVITE, code_keys, open_invite, seal_invite
from .keys import auth_key, group_of
from .schema import whole
from .sealed import (CONTENT, open_blob, open_name, padded_length, read_control, seal_blob, seal_name,
                     write_control)

FILE = "sealed"
# The largest sealed blob that the cases assume, and what of it is left for the plaintext.
ROOM = 1_049_600 - 45
BODY = 1_048_576


def parts(content):
    sections = "schedules", "paddings", "blobs", "names", "controls", "invites", "codes"
    schedules, paddings, blobs, names, controls, invites, codes = only(content, *sections)
    yield "schedules", False, schedule, schedules
    yield "paddings", False, padding, paddings
    for name, cases, accept, refuse in (
        ("blobs", blobs, accepted_blob, refused_blob),
        ("names", names, accepted_name, refused_name),
        ("controls", controls, accepted_control, refused_control),
        ("invites", invites, accepted_invite, refused_invite),
    ):
        accepted, refused = only(cases, "accepted", "refused")
        yield f"{name} accepted", False, accept, accepted
        yield f"{name} refused", True, refuse, refused
    yield "codes", False, code, codes


def schedule(case):
    key = auth_key(case.bytes("secret"))
    same(key, case.bytes("auth_key"), "auth key")
    same(group_of(key), case.bytes("group_id"), "group id")


def padding(case):
    same(padded_length(case["length"], case["max"]), case["padded"], "padded length")


def blob_place(case):
    secret, group, sender, blob_id = case.all_bytes("secret", "group_id", "sender", "blob_id")
    return secret, group, case["epoch"], sender, blob_id


def accepted_blob(case):
    """Sealed again as it was packed, it has the same bytes; an exact case is not packed."""
    place, sealed = blob_place(case), case.bytes("sealed")
    found = open_blob(*place, sealed, BODY)
    same({name: found[name] for name in CONTENT.fields}, CONTENT.load(case["content"]), "content")
    nonce = case.bytes("nonce") if case["exact"] else sealed[5:29]
    same(found["codec"], 0 if case["exact"] else 1, "codec")
    same(seal_blob(*place, nonce, found, ROOM), sealed, "sealed blob")


def refused_blob(case):
    case.refuses(open_blob, *blob_place(case), case.bytes("sealed"), case["max_body"])


def name_place(case):
    secret, group, device = case.all_bytes("secret", "group_id", "sender")
    return secret, group, case["epoch"], device


def accepted_name(case):
    place, sealed, nonce = name_place(case), *case.all_bytes("sealed", "nonce")
    same(open_name(*place, sealed), case["name"], "name")
    same(seal_name(*place, nonce, case["name"]), sealed, "sealed name")


def refused_name(case):
    case.refuses(open_name, *name_place(case), case.bytes("sealed"))


def accepted_control(case):
    data, fields = case.bytes("bytes"), case["fields"]
    same(read_control(data), fields, "control")
    same(write_control(fields), data, "encoding")


def refused_control(case):
    case.refuses(read_control, case.bytes("bytes"))


def accepted_invite(case):
    lookup, key, nonce, sealed = case.all_bytes("lookup", "key", "nonce", "sealed")
    fields = INVITE.load(case["fields"])
    same(open_invite(lookup, key, sealed), fields, "invite")
    same(whole(INVITE, INVITE.write(fields)), fields, "encoding")
    same(seal_invite(lookup, key, nonce, fields), sealed, "sealed invite")


def refused_invite(case):
    case.refuses(open_invite, *case.all_bytes("lookup", "key", "sealed"))


def code(case):
    same(code_keys(case.bytes("code")), tuple(case.all_bytes("lookup", "key")), "keys of the code")
