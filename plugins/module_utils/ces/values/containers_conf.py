# SPDX-License-Identifier: GPL-3.0-or-later
"""containers.conf, as far as it can change what a container of ours sees. No I/O.

Every run with podman reads it: so it is taken apart by hand, and nothing is loaded for it. Values
stay texts of TOML.
"""

from __future__ import annotations

from ..dataclass import dataclass, replace
from ..typed import Iterable, Iterator, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for in an image that does not say it, as podman has it."""
_CAPABILITIES = "containers.default_capabilities"
_USUAL_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP"),
    *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
CGROUP_MANAGER = "engine.cgroup_manager"
"""Who makes containers' cgroups: an ordinary user's podman holds no limit without systemd."""
_ANNOTATIONS = "containers.annotations"
_OWN_ANNOTATION = "io.tre-ces."
"""How those begin that the prolog of a Slurm job gives; runtimes obey some others (crun(1))."""
_ROOTS_OWN = ("/usr/", "/etc/", "/opt/", "/nix/", "/bin/", "/sbin/")
"""Where root alone writes: podman may run a site's programs, and none of a user's."""
_RUNTIMES = "engine.runtimes."
_BY_PLATFORM = "engine.platform_to_oci_runtime."
_SECCOMP = "containers.seccomp_profile"
_PROGRAMS: Mapping[str, str] = {
    "engine.conmon_path": '["/usr/bin/conmon", "/usr/libexec/podman/conmon",'
    ' "/usr/local/libexec/podman/conmon"]',
    "engine.helper_binaries_dir": '["/usr/local/libexec/podman", "/usr/local/lib/podman",'
    ' "/usr/libexec/podman", "/usr/lib/podman", "/usr/bin"]',
    "engine.hooks_dir": '["/usr/share/containers/oci/hooks.d"]',
    "engine.network_cmd_path": '""',
    "engine.runtime": '"crun"',
    "network.cni_plugin_dirs": '["/usr/libexec/cni", "/usr/lib/cni", "/opt/cni/bin"]',
    "network.netavark_plugin_dirs": '["/usr/libexec/netavark", "/usr/lib/netavark"]',
}
"""Programs that podman runs beside a container, and directories of such."""
_BY_NAME = ("engine.runtime", "engine.network_cmd_path")
"""Of these podman looks a bare name up; of the others it is a path in the working directory."""
_FOR_PULLS = ("PROXY", "TMPDIR")
"""How names of variables end that a site may give podman itself."""
_CONTRACT: Mapping[str, str] = {
    **_PROGRAMS,
    _ANNOTATIONS: "[]",
    "containers.base_hosts_file": '""',
    "containers.cgroup_conf": "[]",
    "containers.cgroupns": '"private"',
    "containers.devices": "[]",
    "containers.env": f'["PATH={PATH}"]',
    "containers.env_host": "false",
    "containers.init_path": '""',
    "containers.ipcns": '"shareable"',
    "containers.keyring": "true",
    "containers.label": "true",
    "containers.mounts": "[]",
    "containers.pidns": '"private"',
    "containers.privileged": "false",
    "containers.read_only": "false",
    _SECCOMP: '"/usr/share/containers/seccomp.json"',
    "containers.userns": '"host"',
    "containers.utsns": '"private"',
    "containers.volumes": "[]",
    CGROUP_MANAGER: '"systemd"',
    "engine.conmon_env_vars": f'["PATH={PATH}"]',
    "engine.env": "[]",
    "engine.init_path": '""',
    "engine.network_cmd_options": "[]",
    "engine.no_pivot_root": "false",
    "engine.remote": "false",
    "network.pasta_options": "[]",
}
"""What holds in our runs whatever the site or the user has set: podman's own defaults."""
_INITS = ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit")
_HARMLESS: Mapping[str, Sequence[str]] = {
    "containers.base_hosts_file": ("none", "image", "/etc/hosts"),
    "containers.cgroupns": ("",),
    "containers.init_path": _INITS,
    "engine.init_path": _INITS,
    "containers.ipcns": ("private", "none", ""),
    "containers.pidns": ("",),
    "containers.userns": ("",),
    "containers.utsns": ("",),
}
"""Other values that take nothing from what we promise."""
_SECTIONS = ("containers", "engine", "network", _RUNTIMES[:-1], _BY_PLATFORM[:-1])
_UNCLEAR = "containers (in a form that only podman reads)"
"""In place of a key: what a file says of containers may be hidden in it."""
_NOT_ADDED = "{append=false}"
_LONGEST = 1024 * 1024
"""Characters of a file that may have been cut."""
_BEGINNINGS = "\ufeff\ufffd"
"""What podman passes over before the first line: byte order marks."""


@dataclass(frozen=True)
class Setting:
    """A key with its section, ``containers.userns``, and the text of its value."""

    file: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.file} sets {self.key} = {self.value}"

    def is_for(self, key: str) -> bool:
        """Whether it sets that key; podman knows one in capitals, too."""
        return self.key.casefold() == key


def read_settings(text: str, file: str) -> Iterator[Setting]:
    """The settings of a file in their order. What is no TOML is for podman to complain of."""
    section, key, value = "", "", ""
    if len(text) >= _LONGEST:
        yield Setting(file, _UNCLEAR, "it is longer than 1 MiB")
    for line in text.lstrip(_BEGINNINGS).split("\n"):
        code = _without_comment(line)
        if not code:
            continue
        if any(mark in code for mark in ("\\", '"""', "'''")):
            yield Setting(file, _UNCLEAR, code)
        if key:
            value += f" {code}"
        elif code[0] == "[":
            section = _bare(code.strip("[] "))
            continue
        else:
            name, _equals, value = (part.strip() for part in code.partition("="))
            key = _bare(f"{section}.{name}" if section else name)
            if value[:1] == "{" and key.casefold() in _SECTIONS:
                yield Setting(file, _UNCLEAR, code)
        if value[:1] != "[" or _is_closed(value):
            yield Setting(file, key, value)
            key = ""


def breaking(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Those that would break what we promise of a run. The last of a key counts.

    :param settings: of all files, in the order in which podman reads them.
    """
    last: dict[str, Setting] = {}
    for setting in settings:
        before = last.get(setting.key)
        # a list to which is added once is added to by all files that come later
        if before is not None and "append" in before.value + setting.value:
            setting = replace(setting, value=f"{before.value} {setting.value}")
        last[setting.key] = setting
    return tuple(setting for setting in last.values() if _breaks(setting))


def overriding(
    broken: Iterable[Setting],
    beside: Iterable[Setting] = (),
    kept: Sequence[str] = (),
    alone: bool = False,
) -> str:
    """The text of a file that podman reads last, in which our promise holds.

    :param beside: what else it should say.
    :param kept: keys of these that hold in any case.
    :param alone: podman reads no other file: nothing is added to its lists.
    """
    others = {setting.key.casefold(): setting.value for setting in beside}
    values = dict(others)
    for setting in broken:
        values.update(_instead(setting))
        if setting.is_for(_UNCLEAR):
            values[_ANNOTATIONS] = _alone(_listed(_own_annotations(others.get(_ANNOTATIONS, ""))))
    values.update({key: others[key] for key in kept if key in others})
    values.pop(_UNCLEAR, None)
    sections: dict[str, str] = {}
    for key in sorted(values):
        section, _dot, name = key.rpartition(".")
        name = name if is_plain(name) else f'"{name}"'
        sections[section] = sections.get(section, "") + f"{name} = {values[key]}\n"
    text = "".join(f"[{section}]\n{sections[section]}" for section in sorted(sections))
    return text.replace(f", {_NOT_ADDED}]", "]").replace(_NOT_ADDED, "") if alone else text


def is_plain(name: str) -> bool:
    """Whether TOML takes a key without quotation marks."""
    return name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()


def _breaks(setting: Setting) -> bool:
    # podman knows a key in capitals, too
    key = setting.key.casefold()
    if key == _CAPABILITIES:
        return not set(_capabilities(setting)) <= set(_USUAL_CAPABILITIES)
    if key == _UNCLEAR:
        return True
    words = words_in(setting.value)
    if key.startswith((_RUNTIMES, _BY_PLATFORM)) or key in _PROGRAMS:
        by_name = key in _BY_NAME or key.startswith(_BY_PLATFORM)
        return not all(_is_roots(word) or (by_name and "/" not in word) for word in words)
    ours = _CONTRACT.get(key)
    if ours is None or setting.value == ours:
        return False
    if key == _SECCOMP:
        return not all(not word or _is_roots(word) for word in words)
    if key == _ANNOTATIONS:
        return words != _own_annotations(setting.value)
    if key == "engine.env":
        return not all(word.partition("=")[0].upper().endswith(_FOR_PULLS) for word in words)
    if ours[0] == "[":
        return bool(words) and words != words_in(ours)
    return words not in ([word] for word in (*words_in(ours), *_HARMLESS.get(key, ())))


def _instead(setting: Setting) -> Mapping[str, str]:
    """What stands against a setting; against one that we cannot read, all that we promise."""
    key = setting.key.casefold()
    if key == _UNCLEAR:
        ours = {**_CONTRACT, _CAPABILITIES: _listed(_USUAL_CAPABILITIES)}
        return {key: _alone(value) for key, value in ours.items()}
    if key == _CAPABILITIES:
        kept = [name for name in _capabilities(setting) if name in _USUAL_CAPABILITIES]
        value = _listed(kept)
    elif key == _ANNOTATIONS:
        value = _listed(_own_annotations(setting.value))
    elif key.startswith(_RUNTIMES):
        name = key.removeprefix(_RUNTIMES)
        value = _listed([f"/usr/bin/{name}", f"/usr/local/bin/{name}"])
    elif key.startswith(_BY_PLATFORM):
        value = '"crun"'
    else:
        value = _CONTRACT[key]
    return {key: _alone(value) if "append" in setting.value else value}


def _alone(value: str) -> str:
    """A value to which nothing is added, if it is a list; podman knows that since 4.8."""
    if value[0] != "[":
        return value
    return f"{value[:-1]}{', ' if words_in(value) else ''}{_NOT_ADDED}]"


def _listed(names: Sequence[str]) -> str:
    return "[{}]".format(", ".join(f'"{name}"' for name in names))


def _own_annotations(value: str) -> list[str]:
    return [word for word in words_in(value) if word.startswith(_OWN_ANNOTATION)]


def _is_roots(path: str) -> bool:
    """Whether it lies where root alone writes."""
    return path.startswith(_ROOTS_OWN) and ".." not in path.split("/")


def _capabilities(setting: Setting) -> list[str]:
    return [word.upper().removeprefix("CAP_") for word in words_in(setting.value)]


def words_in(value: str) -> list[str]:
    """The texts in quotation marks of either sort."""
    return _apart(value)[0]


def _apart(value: str) -> tuple[list[str], str]:
    """The texts in quotation marks of either sort, and what is outside of them."""
    words, mark, word, outside = [], "", "", ""
    for char in value:
        if not mark:
            mark, word = (char, "") if char in "\"'" else ("", "")
            outside += "" if mark else char
        elif char == mark:
            words.append(word)
            mark = ""
        else:
            word += char
    return words, outside


def _bare(key: str) -> str:
    """A key without quotation marks around its parts, and spaces: they mean nothing."""
    return ".".join(part.strip(" \t\"'") for part in key.split("."))


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
    _words_in_it, outside = _apart(value)
    return outside.count("[") <= outside.count("]")
