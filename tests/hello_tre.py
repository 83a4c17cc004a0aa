# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hello-tre image must print, line by line (images/hello-tre/README.md).

Used on the output of real containers: ``HelloTre(name="Ada").check(output)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import zip_longest

ANYBODY = r"\S+ \(\d+\) \S+\(\d+\)"
# The user of the back-end, as rootless podman shows them.
ROOT = r"root \(0\) root\(0\)"
# Everybody else of the back-end, as rootless podman shows them: a project's directory, for example.
UNMAPPED = r"nobody \(65534\) nogroup\(65534\)"
# The system's reason, as in "Permission denied".
REASON = r"[A-Z][^:]*"
MODE = r"d[rwxsStT-]{9}"


@dataclass(frozen=True)
class Mount:
    """What a directory of the container should look like; patterns are regular expressions."""

    owner: str = ROOT
    mode: str = MODE
    file_system: str = r"\S+"
    entries: int | None = None
    readable: bool = True
    writable: bool = True

    def lines(self, path: str) -> list[str]:
        count = r"\d+" if self.entries is None else str(self.entries)
        read = f"ok, entries: {count}" if self.readable else f"refused, {REASON}"
        write = "ok" if self.writable else f"refused, {REASON}"
        return [
            f"{path}: {self.owner} {self.mode} {self.file_system}",
            f"{path}: read {read}",
            f"{path}: write {write}",
        ]


@dataclass(frozen=True)
class HelloTre:
    """One run of the image: what it was given, and so what it must print."""

    greeting: str = "Hello"
    name: str = "user"
    duration: int = 0
    identity: str = r"uid=0\(root\) gid=0\(root\)( groups=\S+)?"
    safe_data: Mount = field(default_factory=lambda: Mount(owner=ANYBODY))
    safe_outputs: Mount = field(default_factory=lambda: Mount(entries=0))
    scratch: Mount = field(default_factory=lambda: Mount(entries=0))

    def patterns(self) -> list[str]:
        """One regular expression for each line of a run that ended by itself."""
        return [
            re.escape(f"{self.greeting} {self.name}!"),
            self.identity,
            *self.safe_data.lines("/safe_data"),
            *self.safe_outputs.lines("/safe_outputs"),
            *self.scratch.lines("/scratch"),
            "/safe_outputs/safe_outputs.txt: written",
            "/safe_outputs/safe_data.txt: written",
            *self._count(),
            re.escape(f"Goodbye {self.name}!"),
        ]

    def differences(self, output: str) -> list[str]:
        """A sentence for each line that is not as it should be; empty when all are."""
        pairs = zip_longest(output.splitlines(), self.patterns())
        return [
            f"line {number}: got {got!r}, expected {wanted!r}"
            for number, (got, wanted) in enumerate(pairs, start=1)
            if got is None or wanted is None or not re.fullmatch(wanted, got)
        ]

    def check(self, output: str) -> None:
        """Raise AssertionError that lists every wrong, missing or additional line."""
        differences = self.differences(output)
        if differences:
            raise AssertionError("\n".join(["hello-tre's output differs:", *differences]))

    def _count(self) -> list[str]:
        if not self.duration:
            return []
        return [
            f"Sleeping, seconds: {self.duration}",
            *(str(second) for second in range(1, self.duration + 1)),
        ]
