"""rotation.json: how a group gets its next key."""

from .case import only, same
from .keys import auth_key
from .noise import open_one_way, public_key, seal_one_way
from .rotations import (CONTENT, ROTATION, content_hash, open_lockbox, open_rotation, read_rotation, seal_rotation,
                        verify, write_rotation)
from .schema import KeyLog

FILE = "rotation"


def parts(content):
    sections = "one_way", "payloads", "rotations", "lockboxes", "signatures"
    checks = (
        (accepted_one_way, refused_one_way),
        (accepted_payload, refused_payload),
        (accepted_rotation, refused_rotation),
        (accepted_lockbox, refused_lockbox),
        (accepted_signature, refused_signature),
    )
    for name, cases, (accept, refuse) in zip(sections, only(content, *sections), checks):
        accepted, refused = only(cases, "accepted", "refused")
        yield f"{name} accepted", False, accept, accepted
        yield f"{name} refused", True, refuse, refused


def accepted_one_way(case):
    prologue, secret, to, payload = case.all_bytes("prologue", "from_secret", "to_secret", "payload")
    sender, sealed, seed = case.all_bytes("from", "sealed", "seed")
    same(public_key(secret), sender, "sender")
    same(seal_one_way(prologue, secret, public_key(to), payload, seed), sealed, "sealed message")
    same(open_one_way(prologue, to, sealed), (payload, sender), "payload and sender")


def refused_one_way(case):
    case.refuses(open_one_way, *case.all_bytes("prologue", "to_secret", "sealed"))


def accepted_payload(case):
    data, fields = case.bytes("bytes"), ROTATION.load(case["fields"])
    same(read_rotation(data), fields, "rotation")
    same(write_rotation(fields), data, "encoding")
    same(content_hash(fields, *case.all_bytes("sender", "blob_id")), case.bytes("content_hash"), "content hash")


def refused_payload(case):
    case.refuses(read_rotation, case.bytes("bytes"))


def place(case):
    return case.bytes("group_id"), case["epoch"], case.bytes("sender")


def accepted_rotation(case):
    (group, epoch, sender), blob_id, payload = place(case), case.bytes("blob_id"), case.bytes("payload")
    current, following, secret = case.all_bytes("current_secret", "next_secret", "sender_secret")
    content, rotation = CONTENT.load(case["content"]), read_rotation(payload)
    same(public_key(secret), sender, "sender")
    same(open_rotation(rotation, group, epoch, sender, blob_id, following), content, "content")
    made = seal_rotation(current, secret, following, group, epoch, blob_id, content, case.bytes("drawn"))
    same(made, payload, "payload")
    verify(rotation, group, auth_key(current), sender, blob_id)


def refused_rotation(case):
    rotation = read_rotation(case.bytes("payload"))
    case.refuses(open_rotation, rotation, *place(case), *case.all_bytes("blob_id", "secret"))


def accepted_lockbox(case):
    """The lockbox says nothing of the blob's id and of other lockboxes: that is the signature's business."""
    same(public_key(case.bytes("device_secret")), case.bytes("device"), "device")
    expected = None if case["secret"] is None else case.bytes("secret")
    rotation, (group, epoch, sender) = read_rotation(case.bytes("payload")), place(case)
    same(open_lockbox(rotation, group, epoch, sender, case.bytes("device_secret")), expected, "secret")
    verify(rotation, group, case.bytes("signer"), sender, case.bytes("blob_id"))


def refused_lockbox(case):
    case.bytes("blob_id")
    case.refuses(open_lockbox, read_rotation(case.bytes("payload")), *place(case), case.bytes("device_secret"))


def signature(case):
    return read_rotation(case.bytes("payload")), *case.all_bytes("group_id", "signer", "sender", "blob_id")


def accepted_signature(case):
    same(verify(*signature(case)), KeyLog.link.load(case["link"]), "link")


def refused_signature(case):
    case.refuses(verify, *signature(case))
