# SPDX-License-Identifier: GPL-3.0-or-later
"""STOPSIGNAL and EXPOSE as podman reads them: it runs no image in which they are something else."""

from __future__ import annotations

_NAMES = (
    *("ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT"),
    *("KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM"),
    *("TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"),
    *("RTMIN", "RTMAX"),
)
_UNHEARD = ("KILL", "STOP", "9", "19")
_LAST, _STEPS = 64, {"RTMIN": (1, 15), "RTMAX": (1, 14)}
"""The highest number, and how far from its ends names of signals are counted."""
_PROTOCOLS = ("", "tcp", "udp", "sctp")
_PORT_MAX = 65535


def is_signal(text: str) -> bool:
    """Whether it is a signal: ``SIGINT``, ``int``, ``2``, ``SIGRTMIN+3``."""
    name = _bare(text)
    if name.isascii() and name.isdigit():
        return 1 <= int(name[:9]) <= _LAST
    for base, mark in (("RTMIN", "+"), ("RTMAX", "-")):
        beginning, _mark, more = name.partition(mark)
        if beginning == base and more.isascii() and more.isdigit():
            least, most = _STEPS[base]
            return least <= int(more[:9]) <= most
    return name in _NAMES


def is_heard(text: str) -> bool:
    """Whether a program can do something about it."""
    return _bare(text) not in _UNHEARD


def _bare(text: str) -> str:
    return text.upper().removeprefix("SIG")


def is_port(text: str) -> bool:
    """Whether it is a port or a range of them: ``80``, ``8000-8010/udp``."""
    numbers, _slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    ends = [first, last] if dash else [first]
    if protocol.lower() not in _PROTOCOLS or not all(map(_is_number, ends)):
        return False
    return 1 <= int(first) <= int(ends[-1]) <= _PORT_MAX


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_PORT_MAX))
