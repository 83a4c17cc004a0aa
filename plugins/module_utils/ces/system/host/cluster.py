# SPDX-License-Identifier: GPL-3.0-or-later
"""What Slurm does with containers on this host, by its configuration."""

from __future__ import annotations

import os
import re

from ...dataclass import dataclass
from ...errors import CesError
from ...typed import Mapping
from ...values.command import Command
from ..process import Process, Streams

HOOKS = ("Prolog", "Epilog", "TaskProlog", "TaskEpilog")
"""The programs of the role slurm_oci that Slurm has to call, by the names of its settings."""
SLURM_CONF = "/etc/slurm/slurm.conf"
_PROGRAMS = "/usr/local/lib/tre-ces-slurm"
_PATIENT = Streams(timeout=5.0, keep=1024 * 1024)


@dataclass(frozen=True)
class Cluster:
    """One host's part of it.

    :param there: whether Slurm's commands are here; all else is empty where they are not.
    :param configured: whether its configuration is where it usually is.
    :param said: why the controller gave no answer, or ''.
    :param oci_conf: the file that makes slurmd heed ``--container``.
    :param oci_there: whether it is there.
    :param node: this host is a node of that state, or '' for none.
    :param reason: why the node is out of use.
    :param unhooked: settings that do not call our programs.
    :param missing: programs that Slurm is to call and that are not there.
    """

    there: bool
    configured: bool = False
    said: str = ""
    oci_conf: str = ""
    oci_there: bool = False
    node: str = ""
    reason: str = ""
    unhooked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def look_at_cluster(process: Process, path: str, root: str = "") -> Cluster:
    """Ask Slurm.

    :param path: where programs are looked for.
    :param root: of the host, for tests.
    """
    configured = os.path.exists(f"{root}{SLURM_CONF}")
    if not any(os.access(f"{directory}/scontrol", os.X_OK) for directory in path.split(":")):
        return Cluster(False, configured)
    try:
        done = process.run(Command(("scontrol", "show", "config"), role="slurm"), _PATIENT)
    except CesError as error:
        return Cluster(True, configured, error.said)
    if not done.ok:
        return Cluster(
            True, configured, (done.stderr or done.stdout).strip() or "no answer within 5 s"
        )
    settings = settings_in(done.stdout)
    oci_conf = f"{os.path.dirname(settings.get('SLURM_CONF', SLURM_CONF))}/oci.conf"
    node, reason = _node(process)
    called = {name: _calls(settings, name) for name in HOOKS}
    return Cluster(
        there=True,
        configured=configured,
        oci_conf=oci_conf,
        oci_there=os.path.exists(f"{root}{oci_conf}"),
        node=node,
        reason=reason,
        unhooked=tuple(name for name in HOOKS if hook_of(name) not in called[name]),
        missing=tuple(
            program
            for programs in called.values()
            for program in programs
            if program.startswith("/") and not os.path.exists(f"{root}{program}")
        ),
    )


def settings_in(text: str) -> Mapping[str, str]:
    """The lines ``Name = value`` of ``scontrol show config``; of ``Name[0]`` all, with commas."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        name = re.sub(r"\[\d+\]$", "", name.strip())
        if equals and name and value.strip() not in ("", "(null)"):
            found[name] = f"{found[name]},{value.strip()}" if name in found else value.strip()
    return found


def _calls(settings: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in settings.get(name, "").split(",") if word.strip())


def hook_of(name: str) -> str:
    """Our program for one of ``HOOKS``."""
    return f"{_PROGRAMS}/" + re.sub(r"(?<=k)(?=[A-Z])", "-", name).lower()


def _node(process: Process) -> tuple[str, str]:
    """The state of the node that this host is, and why it is out of use."""
    name = os.uname().nodename.partition(".")[0]
    try:
        done = process.run(
            Command(("scontrol", "--oneliner", "show", "node", name), role="slurm"), _PATIENT
        )
    except CesError:
        return "", ""
    state = re.search(r"\bState=(\S+)", done.stdout) if done.ok else None
    reason = re.search(r"\bReason=(.*?)(?: \[|$)", done.stdout)
    return (state[1] if state else "", reason[1] if state and reason else "")
