# SPDX-License-Identifier: GPL-3.0-or-later
"""containers.conf, as far as it can change what a container of ours sees. No I/O.

Every run with podman reads it: so it is taken apart by hand, and nothing is loaded for it. Values
stay texts of TOML.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..typed import Iterable, Iterator, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for in an image that does not say it, as podman has it."""
_CAPABILITIES = "containers.default_capabilities"
_USUAL_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP"),
    *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
_CONTRACT: Mapping[str, str] = {
    "containers.devices": "[]",
    "containers.env": f'["PATH={PATH}"]',
    "containers.env_host": "false",
    "containers.ipcns": '"shareable"',
    "containers.mounts": "[]",
    "containers.pidns": '"private"',
    "containers.privileged": "false",
    "containers.read_only": "false",
    "containers.seccomp_profile": '"/usr/share/containers/seccomp.json"',
    "containers.userns": '"host"',
    "containers.utsns": '"private"',
    "containers.volumes": "[]",
}
"""What holds in our runs whatever the site or the user has set: podman's own defaults."""
_HARMLESS: Mapping[str, Sequence[str]] = {
    "containers.ipcns": ("private", "none", ""),
    "containers.pidns": ("",),
    "containers.userns": ("",),
    "containers.utsns": ("",),
}
"""Other values that take nothing from what we promise."""


@dataclass(frozen=True)
class Setting:
    """A key with its section, ``containers.userns``, and the text of its value."""

    file: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.file} sets {self.key} = {self.value}"


def read_settings(text: str, file: str) -> Iterator[Setting]:
    """The settings of a file in their order. What is no TOML is for podman to complain of."""
    section, key, value = "", "", ""
    for line in text.splitlines():
        code = _without_comment(line)
        if not code:
            continue
        if key:
            value += f" {code}"
        elif code[0] == "[":
            section = code.strip("[] ")
            continue
        else:
            name, _equals, value = (part.strip() for part in code.partition("="))
            key = f"{section}.{name}" if section else name
        if value[:1] != "[" or _is_closed(value):
            yield Setting(file, key, value)
            key = ""


def breaking(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Those that would break what we promise of a run. The last of a key counts.

    :param settings: of all files, in the order in which podman reads them.
    """
    last = {setting.key: setting for setting in settings}
    return tuple(setting for setting in last.values() if _breaks(setting))


def overriding(broken: Iterable[Setting], beside: Iterable[Setting] = ()) -> str:
    """The text of a file that podman reads last, in which our promise holds.

    :param beside: what else it should say.
    """
    values = {setting.key: setting.value for setting in beside}
    values.update({setting.key: _instead(setting) for setting in broken})
    sections: dict[str, str] = {}
    for key in sorted(values):
        section, _dot, name = key.rpartition(".")
        sections[section] = sections.get(section, "") + f"{name} = {values[key]}\n"
    return "".join(f"[{section}]\n{sections[section]}" for section in sorted(sections))


def _breaks(setting: Setting) -> bool:
    if setting.key == _CAPABILITIES:
        return not set(_capabilities(setting)) <= set(_USUAL_CAPABILITIES)
    ours = _CONTRACT.get(setting.key)
    if ours is None or setting.value == ours:
        return False
    if setting.key == "containers.seccomp_profile":
        return words_in(setting.value) == ["unconfined"]
    words = words_in(setting.value)
    if ours[0] == "[":
        return bool(words) and words != words_in(ours)
    return words not in ([word] for word in (*words_in(ours), *_HARMLESS.get(setting.key, ())))


def _instead(setting: Setting) -> str:
    if setting.key != _CAPABILITIES:
        return _CONTRACT[setting.key]
    kept = [name for name in _capabilities(setting) if name in _USUAL_CAPABILITIES]
    return f"[{', '.join(f'{chr(34)}{name}{chr(34)}' for name in kept)}]"


def _capabilities(setting: Setting) -> list[str]:
    return [word.upper().removeprefix("CAP_") for word in words_in(setting.value)]


def words_in(value: str) -> list[str]:
    """The texts in quotation marks of either sort."""
    words, mark, word = [], "", ""
    for char in value:
        if not mark:
            mark, word = (char, "") if char in "\"'" else ("", "")
        elif char == mark:
            words.append(word)
            mark = ""
        else:
            word += char
    return words


def _without_comment(line: str) -> str:
    """A line up to a ``#`` that is in no quotation marks."""
    if "#" not in line:
        return line.strip()
    mark = ""
    for place, char in enumerate(line):
        if mark:
            mark = "" if char == mark else mark
        elif char in "\"'":
            mark = char
        elif char == "#":
            return line[:place].strip()
    return line.strip()


def _is_closed(value: str) -> bool:
    """Whether a list ends in this text."""
    for word in words_in(value):
        value = value.replace(word, "")
    return value.count("[") <= value.count("]")
