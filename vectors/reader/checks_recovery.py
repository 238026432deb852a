"""recovery.json: groups that come from words."""

from .case import only, same
from .invites import INVITE
from .keys import auth_key, group_of
from .words import NoPhrase, open_file, passphrase_secret, read_phrase, seal_file

FILE = "recovery"


def parts(content):
    phrases, files, passphrases = only(content, "phrases", "files", "passphrases")
    accepted, refused = only(phrases, "accepted", "refused")
    yield "phrases accepted", False, accepted_phrase, accepted
    yield "phrases refused", True, refused_phrase, refused
    accepted, refused = only(files, "accepted", "refused")
    yield "files accepted", False, accepted_file, accepted
    yield "files refused", True, refused_file, refused
    yield "passphrases", False, passphrase, passphrases


def accepted_phrase(case):
    same(read_phrase(case["text"]), case["canonical"], "phrase")
    same(read_phrase(case["canonical"]), case["canonical"], "phrase read again")


def refused_phrase(case):
    at = case[{"WordCount": "found", "UnknownWord": "position"}[case["error"]]]
    try:
        read_phrase(case["text"])
    except NoPhrase as refused:
        same((refused.reason, refused.at), (case["error"], at), "reason")
    else:
        raise ValueError("is accepted")


def accepted_file(case):
    phrase, file, fields = case["phrase"], case.bytes("file"), INVITE.load(case["fields"])
    same(open_file(file, phrase), fields, "content")
    same(seal_file(fields, phrase, *case.all_bytes("salt", "nonce")), file, "file")


def refused_file(case):
    case.refuses(open_file, case.bytes("file"), case["phrase"])


def passphrase(case):
    secret = passphrase_secret(case["group_name"], case["passphrase"])
    same(secret, case.bytes("secret"), "secret")
    same(group_of(auth_key(secret)), case.bytes("group_id"), "group id")
