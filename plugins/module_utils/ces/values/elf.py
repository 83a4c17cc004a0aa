# SPDX-License-Identifier: GPL-3.0-or-later
"""The head of a program in the form ELF: its processor, and the loader that it names. No I/O.

https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and ch5.pheader.html
"""

from __future__ import annotations

from ..dataclass import dataclass

MAGIC = b"\x7fELF"
HEAD = 64
"""Bytes of the longer one of the two heads."""
_WIDE, _BIG_ENDIAN = 2, 2
_LOADER = 3
"""The kind of an entry that says where in the file the loader's name is (PT_INTERP)."""
_ENTRIES_MAX = 128
"""Programs have a dozen."""
_NARROW = {
    2: "sparc",
    3: "386",
    8: "mips",
    20: "ppc",
    22: "s390",
    40: "arm",
    62: "amd64p32",
    243: "riscv",
}
_WIDE_ONES = {
    8: "mips64",
    21: "ppc64",
    22: "s390x",
    43: "sparc64",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}
"""By number (e_machine), as registries spell it."""
_OF_BOTH_ORDERS = ("mips", "mips64", "ppc64")


@dataclass(frozen=True)
class Elf:
    """What a head says.

    :param processor: as registries spell it; ``processor 999`` for one that they do not name.
    :param table: where in the file the list of its parts is; ``entry``: bytes of each of them.
    :param count: how many parts; 0 where that cannot be.
    """

    processor: str
    table: int
    entry: int
    count: int
    wide: bool
    order: str

    @classmethod
    def parse(cls, head: bytes) -> Elf | None:
        """From the first ``HEAD`` bytes of a file; None if it is of another form."""
        if head[:4] != MAGIC or len(head) < 20:
            return None
        wide = head[4] == _WIDE
        order = "big" if head[5] == _BIG_ENDIAN else "little"
        names = _WIDE_ONES if wide else _NARROW
        machine = _number(head, 18, 2, order)
        name = names.get(machine, f"processor {machine}")
        if order == "little" and name in _OF_BOTH_ORDERS:
            name += "le"
        place, sizes = ((32, 8), (54, 56)) if wide else ((28, 4), (42, 44))
        entry, count = (_number(head, at, 2, order) for at in sizes)
        usable = entry >= (56 if wide else 32) and count <= _ENTRIES_MAX
        return cls(name, _number(head, *place, order), entry, count if usable else 0, wide, order)

    def loader(self, table: bytes) -> tuple[int, int] | None:
        """Where in the file the loader's name is, and how long; None if it needs no loader.

        :param table: the list of its parts.
        """
        places = ((8, 8), (32, 8)) if self.wide else ((4, 4), (16, 4))
        for number in range(self.count):
            part = table[number * self.entry : (number + 1) * self.entry]
            if len(part) == self.entry and _number(part, 0, 4, self.order) == _LOADER:
                place, size = (_number(part, *where, self.order) for where in places)
                return place, size
        return None


def _number(data: bytes, place: int, size: int, order: str) -> int:
    found = data[place : place + size]
    return int.from_bytes(found, "big" if order == "big" else "little")
