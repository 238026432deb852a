"""chain.json: how blobs refer to each other, and to what was shown."""

from .case import only, same
from .chains import counts, first_head, follow, next_head, same_head
from .roster import TIP
from .notation import as_bytes

FILE = "chain"
BODY = 1_048_576


def parts(content):
    sections = "heads", "chains", "cuts"
    checks = (accepted_heads, refused_heads), (accepted_chain, refused_chain), (accepted_cut, refused_cut)
    for name, cases, (accept, refuse) in zip(sections, only(content, *sections), checks):
        accepted, refused = only(cases, "accepted", "refused")
        yield f"{name} accepted", False, accept, accepted
        yield f"{name} refused", True, refuse, refused


def fold(head, entry):
    return next_head(head, entry["cursor"], *(as_bytes(entry[name]) for name in ("blob_id", "sender", "hash")))


def accepted_heads(case):
    head = first_head(*case.all_bytes("group_id", "store_id"))
    for entry in case["entries"]:
        only(entry, "cursor", "blob_id", "sender", "hash", "head")
        head = fold(head, entry)
        same(head, as_bytes(entry["head"]), "head on the way")
    same(head, case.bytes("head"), "head")


def refused_heads(case):
    head = first_head(*case.all_bytes("group_id", "store_id"))
    for entry in case["entries"]:
        only(entry, "cursor", "blob_id", "sender", "hash")
        head = fold(head, entry)
    case.refuses(same_head, head, case.bytes("head"))


def steps(case):
    """Each blob of the chain as a step that is still to be taken."""
    secret, group, sender = case.all_bytes("secret", "group_id", "sender")
    epoch = case["epoch"]
    for each in case["blobs"]:
        blob_id, sealed = map(as_bytes, only(each, "blob_id", "sealed"))
        yield lambda tip, blob_id=blob_id, sealed=sealed: (
            follow(tip, secret, group, epoch, sender, blob_id, sealed, BODY))


def accepted_chain(case):
    tip = None
    for step in steps(case):
        tip = step(tip)
    same(tip, TIP.load(case["tip"]), "tip")


def refused_chain(case):
    tip = None
    *before, last = steps(case)
    for step in before:
        tip = step(tip)
    case.refuses(last, tip)


def cut(case):
    tips = [TIP.load(tip) for tip in case["tips"]]
    return tips, case.bytes("chain_id"), case["seq"], case.bytes("hash")


def accepted_cut(case):
    counts(*cut(case))


def refused_cut(case):
    case.refuses(counts, *cut(case))
