"""One case of a file, and what is expected of it."""

from .notation import Refused, as_bytes


class Case:
    """Remembers which of its values were read, so that none is left unchecked."""

    def __init__(self, values: dict):
        self.values = values
        self.unread = set(values) - {"case"}

    def __getitem__(self, name: str):
        self.unread.discard(name)
        return self.values[name]

    def bytes(self, name: str) -> bytes:
        return as_bytes(self[name])

    def all_bytes(self, *names: str) -> list[bytes]:
        return [self.bytes(name) for name in names]

    def everything_was_read(self) -> None:
        if self.unread:
            raise ValueError(f"values that nothing checks: {sorted(self.unread)}")

    def refuses(self, read, *args) -> None:
        """Reading must fail, for the reason that the case names."""
        self.refuses_with(self["error"], read, *args)

    @staticmethod
    def refuses_with(reason: str, read, *args) -> None:
        try:
            read(*args)
        except Refused as refused:
            same(refused.reason, reason, "reason")
        else:
            raise ValueError(f"is accepted, and should be refused: {reason}")


def same(found, expected, what: str) -> None:
    if found != expected:
        raise ValueError(f"another {what} than expected: {short(found)}, not {short(expected)}")


def short(value) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 90 else f"{text[:90]}…"


def only(content: dict, *names: str) -> list:
    """The parts of a file or of a section: these, and no others."""
    if set(content) != set(names):
        raise ValueError(f"the parts are {sorted(content)}, known are {sorted(names)}")
    return [content[name] for name in names]


def run(part: str, check, cases: list, *context) -> list[str]:
    """Runs the cases of one part; gives what is wrong with them."""
    if not cases:
        return [f"{part}: there is no case"]
    wrong = []
    for raw in cases:
        name = raw.get("case", "a case without a name")
        try:
            case = Case(raw)
            check(case, *context)
            case.everything_was_read()
        except Exception as error:  # noqa: BLE001: whatever goes wrong is a failed case
            wrong.append(f"{part}: {name}: {type(error).__name__}: {error}")
    return wrong
