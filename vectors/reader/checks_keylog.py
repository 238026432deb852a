"""keylog.json: key logs, what continues them, and proofs of membership."""

from .case import only, same
from .keys import check_signature, fingerprint, longer_log, proof_statement, verify_log
from .schema import KeyLog, whole

FILE = "keylog"
LOG = KeyLog()


def parts(content):
    logs, continuations, proofs = only(content, "logs", "continuations", "proofs")
    accepted, malformed, refused = only(logs, "accepted", "malformed", "refused")
    yield "logs accepted", False, accepted_log, accepted
    yield "logs malformed", True, malformed_log, malformed
    yield "logs refused", True, refused_log, refused
    accepted, refused = only(continuations, "accepted", "refused")
    yield "continuations accepted", False, accepted_continuation, accepted
    yield "continuations refused", True, refused_continuation, refused
    accepted, refused = only(proofs, "accepted", "refused")
    yield "proofs accepted", False, accepted_proof, accepted
    yield "proofs refused", True, refused_proof, refused


def accepted_log(case):
    data, fields = case.bytes("bytes"), LOG.load(case["fields"])
    same(whole(LOG, data), fields, "key log")
    same(LOG.write(fields), data, "encoding")
    same(len(fields["links"]), case["epoch"], "epoch")
    same(fingerprint(fields, case.bytes("group_id")), case["fingerprint"], "fingerprint")
    verify_log(fields, case.bytes("group_id"))


def malformed_log(case):
    case.refuses(whole, LOG, case.bytes("bytes"))


def refused_log(case):
    log = whole(LOG, case.bytes("bytes"))
    case.refuses(verify_log, log, case.bytes("group_id"))


def accepted_continuation(case):
    group, known, other = case.bytes("group_id"), *(whole(LOG, data) for data in case.all_bytes("known", "bytes"))
    verify_log(known, group)
    longest = max(known, other, key=lambda log: len(log["links"]))
    same(longer_log(known, other, group), longest, "log that counts")


def refused_continuation(case):
    group, known, other = case.bytes("group_id"), *(whole(LOG, data) for data in case.all_bytes("known", "bytes"))
    verify_log(known, group)
    case.refuses(longer_log, known, other, group)


def statement(case):
    handshake, group, device = case.all_bytes("handshake_hash", "group_id", "device_id")
    return proof_statement(handshake, group, case["epoch"], device)


def accepted_proof(case):
    same(statement(case), case.bytes("transcript"), "transcript")
    check_signature(case.bytes("auth_key"), statement(case), case.bytes("signature"))


def refused_proof(case):
    case.refuses(check_signature, case.bytes("auth_key"), statement(case), case.bytes("signature"))
