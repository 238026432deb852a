"""codec.json: envelopes and messages."""

from .case import only, same
from .messages import MESSAGES, open_body, open_envelope, seal_envelope
from .schema import whole

FILE = "codec"


def parts(content):
    messages, envelopes = only(content, "messages", "envelopes")
    expected = [(code, name) for code, (name, _) in MESSAGES.items()]
    same([(message["code"], message["type"]) for message in messages], expected, "list of types and codes")
    for message in messages:
        _, _, accepted, refused = only(message, "type", "code", "accepted", "refused")
        kind = MESSAGES[message["code"]][1]
        yield "messages accepted", False, accepted_message, accepted, kind
        yield "messages refused", True, refused_message, refused, kind
    accepted, refused, answerable = only(envelopes, "accepted", "refused", "answerable")
    yield "envelopes accepted", False, accepted_envelope, accepted
    yield "envelopes refused", True, refused_envelope, refused
    yield "envelopes answerable", True, answerable_envelope, answerable


def accepted_message(case, kind):
    data, fields = case.bytes("bytes"), kind.load(case["fields"])
    same(whole(kind, data), fields, "message")
    same(kind.write(fields), data, "encoding")


def refused_message(case, kind):
    case.refuses(whole, kind, case.bytes("bytes"))


def accepted_envelope(case):
    data = case.bytes("bytes")
    written, body = seal_envelope(case["header"], case["fields"])
    same(written, data, "encoding")
    same(open_body(open_envelope(data)), body, "message")


def refused_envelope(case):
    case.refuses(open_envelope, case.bytes("bytes"))


def answerable_envelope(case):
    """The envelope is sound, so that its nonce is known; what is in it is not."""
    envelope = open_envelope(case.bytes("bytes"))
    same(envelope["nonce"], case.bytes("nonce"), "nonce")
    case.refuses(open_body, envelope)
