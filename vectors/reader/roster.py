"""The devices of a group, as members tell each other (PROTOCOL.md, section 10.5)."""

from .notation import Refused
from .schema import HASH, ID, U64, Device, List, Maybe, Str, Struct
from .sealed import PLATFORM, sound_name

MOST = 1000
TIP = Struct(chain_id=ID, seq=U64, hash=HASH)


class Name(Str):
    def read(self, decoder):
        name = super().read(decoder)
        sound_name(name)
        return name


class Tips(List):
    """The newest blob of each chain: no chain has two."""

    def __init__(self):
        super().__init__(TIP, 16)

    def read(self, decoder):
        tips = super().read(decoder)
        if len({tip["chain_id"] for tip in tips}) < len(tips):
            raise Refused("Unordered")
        return tips


MEMBER = Struct(device_id=Device(), name=Maybe(Name()), platform=PLATFORM, tips=Tips())
ROSTER = List(MEMBER, MOST)


def ascends(entries: list[dict]) -> bool:
    ids = [entry["device_id"] for entry in entries]
    return all(a < b for a, b in zip(ids, ids[1:]))
