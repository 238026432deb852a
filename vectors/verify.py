#!/usr/bin/env python3
"""Checks every case of the test vectors with a reader of the protocol that follows docs/PROTOCOL.md, and
shares no code with the two implementations that made the vectors.

    pip install --require-hashes -r vectors/requirements.txt
    python3 vectors/verify.py [folder]
    python3 vectors/verify.py --self-test

Prints how many cases each part of each file has, and fails if a case does, if a file is not the one that
SHA256SUMS has, if it has a part that is not known here, or if a part that is known has no cases.

With --self-test it shows that it would notice: it changes every value of every case, and fails if a change
gets by.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from reader import (  # noqa: E402
    checks_chain,
    checks_channel,
    checks_codec,
    checks_keylog,
    checks_recovery,
    checks_rotation,
    checks_sealed,
    checks_text,
    self_test,
)
from reader.case import run  # noqa: E402

MODULES = (
    checks_chain,
    checks_channel,
    checks_codec,
    checks_keylog,
    checks_recovery,
    checks_rotation,
    checks_sealed,
    checks_text,
)
FILES = {module.FILE: module for module in MODULES}


def parts_of(path: Path) -> list:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("about", None)
    return list(FILES[path.stem].parts(content))


def check_sums(folder: Path) -> list[str]:
    """Most changes of a refused case leave it refused for the same reason: this is what notices them."""
    expected = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    names = sorted(expected.keys() | found.keys() | {f"{name}.json" for name in FILES})
    return [f"{name}: not the file that SHA256SUMS has" for name in names if expected.get(name) != found.get(name)
            or name not in found]


def check_file(path: Path, quiet: bool) -> tuple[int, int, list[str]]:
    """The counts of cases and of refusals among them, and what is wrong."""
    cases = refusals = 0
    problems, lines = [], {}
    if path.stem not in FILES:
        return 0, 0, [f"{path.name}: this file is not known"]
    try:
        parts = parts_of(path)
    except Exception as error:  # noqa: BLE001: whatever goes wrong is a broken file
        return 0, 0, [f"{path.name}: {type(error).__name__}: {error}"]
    for part, refusing, check, found, *context in parts:
        wrong = run(f"{path.name} {part}", check, found, *context)
        problems += wrong
        cases += len(found)
        refusals += len(found) if refusing else 0
        before = lines.get(part, (0, 0))
        lines[part] = (before[0] + len(found), before[1] + len(wrong))
    if not quiet:
        print(f"{path.name}: {cases} cases, {refusals} of them refusals")
        for part, (count, failed) in lines.items():
            print(f"    {part:<32} {count:>4}" + (f", {failed} failed" if failed else ""))
    return cases, refusals, problems


def verify(folder: Path, quiet: bool = False) -> bool:
    paths = sorted(folder.glob("*.json"))
    problems, total, refusals = check_sums(folder), 0, 0
    for path in paths:
        cases, refused, wrong = check_file(path, quiet)
        total, refusals, problems = total + cases, refusals + refused, problems + wrong
    if not quiet:
        for problem in problems:
            print(problem)
        print(f"{total} cases, {refusals} of them refusals")
        print(f"{max(total - len(problems), 0)} passed, {len(problems)} failed")
    return not problems


def main() -> int:
    here = Path(__file__).parent
    if sys.argv[1:] == ["--self-test"]:
        return 0 if self_test.run(here, parts_of, verify) else 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else here
    return 0 if verify(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
