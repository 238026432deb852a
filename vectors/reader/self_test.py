"""Whether a change would be noticed: a check that cannot fail proves nothing."""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from .case import run as run_cases

# Changes of one value that are tried at most, spread over its length; and where each costs an Argon2id.
PLACES = 24
DEAR = {"code": 2, "phrase": 2, "salt": 2, "group_name": 2, "passphrase": 2}
# Values that may be others in a case that is accepted, and which.
FREE = {
    "sealed.json paddings": {"length", "max"},
    "chain.json cuts accepted": {"seq", "hash", "tips"},
}


def places(length: int, most: int) -> list[int]:
    """First, last, and some between."""
    if length <= most:
        return list(range(length))
    return sorted({round(n * (length - 1) / (most - 1)) for n in range(most)})


def other(character: str) -> str:
    """Another character of the same kind, so that the change is as small as can be."""
    return {"f": "e", "9": "8"}.get(character) or (chr(ord(character) + 1) if character.isalnum() else "x")


def changes(value, most: int = PLACES):
    """The value with one thing in it changed, in many ways."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        if value:
            yield value - 1
    elif value is None:
        yield ""
    elif isinstance(value, str):
        for at in places(len(value), most):
            yield value[:at] + other(value[at]) + value[at + 1 :]
        yield value + "0"
    elif isinstance(value, list):
        for at, item in enumerate(value):
            for changed in changes(item):
                yield value[:at] + [changed] + value[at + 1 :]
    else:
        for name, item in value.items():
            for changed in changes(item):
                yield value | {name: changed}


def by_the_reader(file: str, parts: list) -> tuple[int, list[str]]:
    """Changes each value of each accepted case, and the reason of each refusal: the reader itself must notice,
    whatever the sums say."""
    tried, unnoticed = 0, []
    for part, refusing, check, cases, *context in parts:
        name = f"{file} {part}"
        for case in cases:
            watched = {"error"} if refusing else case.keys() - {"case"} - FREE.get(name, set())
            for field in sorted(watched & case.keys()):
                for changed in changes(case[field], DEAR.get(field, PLACES)):
                    tried += 1
                    if not run_cases(name, check, [case | {field: changed}], *context):
                        unnoticed.append(f"{name}: {case['case']}: {field} may be {str(changed)[:60]!r} as well")
    return tried, unnoticed


def by_the_sums(path: Path) -> tuple[int, int]:
    """Changes one character on each line of a file; gives how often, and how often the sum stays the same."""
    data, start, tried, missed = path.read_bytes(), 0, 0, 0
    expected, before = hashlib.sha256(data).digest(), hashlib.sha256()
    for line in data.splitlines(keepends=True):
        changed, end = before.copy(), start + len(line)
        middle = len(line) // 2
        changed.update(line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :] + data[end:])
        tried, missed = tried + 1, missed + (changed.digest() == expected)
        before.update(line)
        start = end
    return tried, missed


def passes_when_changed(folder: Path, path: Path, verify) -> bool:
    """All of it, on a copy in which the first digit of the last hash or key is another."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=lambda _, names: [
            name for name in names if not name.endswith((".json", "SUMS"))])
        text = path.read_text(encoding="utf-8")
        at = [found.start(1) for found in re.finditer('"([0-9a-f]{32,})"', text)][-1]
        (Path(copy) / path.name).write_text(text[:at] + other(text[at]) + text[at + 1 :], encoding="utf-8")
        return verify(Path(copy), quiet=True)


def run(folder: Path, parts_of, verify) -> bool:
    paths = sorted(folder.glob("*.json"))
    problems, read, summed = [], 0, 0
    for path in paths:
        tried, unnoticed = by_the_reader(path.name, parts_of(path))
        read, problems = read + tried, problems + unnoticed
        tried, missed = by_the_sums(path)
        summed, problems = summed + tried, problems + [f"{path.name}: {missed} sums are the same"] * (missed > 0)
        if passes_when_changed(folder, path, verify):
            problems.append(f"{path.name}: verify.py passes when a digit is changed")
    for problem in problems:
        print(problem)
    print(f"changes tried: {read} of values and reasons, {summed} of lines, {len(paths)} of files on the whole")
    print(f"{len(problems)} were not noticed")
    return not problems
