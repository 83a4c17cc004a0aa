# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what the portal would pass over without a word, and what would let every launch fail.

Runs on the portal: ``python3 check_clusters.py`` with the role's variables as JSON on standard
input. Prints ``{"wrong": [sentences], "unknown": [sentences]}``: what is to be refused, and what
could not be looked at.
"""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Cluster = dict[str, Any]

RUBIES = ("/opt/ood/ondemand/root/usr/bin/ruby", "/usr/bin/ruby")
# The portal reads a file so; whatever this complains of makes the cluster vanish.
READ_YAML = """
require "yaml"
ARGV.each { |file| YAML.safe_load(File.read(file)) rescue puts "#{file}: #{$!.message}" }
"""


def wrong_name(cluster: Cluster) -> str | None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", cluster["id"]):
        return (
            "its id may have small letters, digits, _ and -, the first a letter: it is the name of"
            " a file, and a word in forms"
        )
    return None


def wrong_words(cluster: Cluster) -> str | None:
    for key in ("title", "login_host", "partition", "bin", "conf", "submit_host", "set_host"):
        value = cluster.get(key) or ""
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            return f"{key} holds a line break or another character that cannot be printed"
    for key in ("login_host", "submit_host", "partition"):
        value = cluster.get(key) or ""
        if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.,@-]*", value):
            return f"{key} is {value!r}, which is no name"
    return None


def wrong_wrapper(cluster: Cluster) -> str | None:
    wrapper = cluster.get("script_wrapper") or ""
    rest = wrapper.replace("%%", "")
    if wrapper and (rest.count("%s") != 1 or rest.count("%") != 1):
        return (
            "script_wrapper must hold %s once, for the job's script, and write every other % as %%:"
            " the portal could start no job"
        )
    return None


def wrong_limits(cluster: Cluster) -> str | None:
    for key, least in (("max_cores", 1), ("max_memory", 1), ("max_gpus", 0)):
        if int(cluster.get(key) or 0) < least:
            return f"{key} is less than {least}"
    if float(cluster.get("wall_time", 6)) <= 0:
        return "wall_time is no time"
    if "runners" in cluster and not cluster["runners"]:
        return "runners is empty"
    return None


def wrong_check(cluster: Cluster) -> str | None:
    wanted = (cluster.get("custom") or {}).get("image_check_seconds", 10)
    try:
        seconds = 0.0 if isinstance(wanted, bool) else float(wanted)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        return (
            f"image_check_seconds is {wanted!r:.40}: write how many seconds a launch may wait for"
            " ces-check, at most 60"
        )
    return None


def wrong_groups(cluster: Cluster) -> str | None:
    missing = [name for name in cluster.get("groups") or [] if not is_group(name)]
    if missing:
        return f"its groups {', '.join(missing)} are not known on the portal: nobody could use it"
    return None


def is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


CHECKS: tuple[Callable[[Cluster], str | None], ...] = (
    wrong_name,
    wrong_words,
    wrong_wrapper,
    wrong_limits,
    wrong_check,
    wrong_groups,
)


class Slurm:
    """The scheduler of a cluster, as the portal will call it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        directory = cluster.get("bin")
        own = (cluster.get("bin_overrides") or {}).get("scontrol")
        self.scontrol = own or shutil.which("scontrol", path=directory or os.environ.get("PATH"))

    def ask(self, *words: str) -> str | None:
        """What scontrol says, or None: it is not there, is elsewhere, or does not answer."""
        elsewhere = self.cluster.get("submit_host") or not self.cluster.get("shared_home", True)
        if self.scontrol is None or elsewhere:
            return None
        conf = self.cluster.get("conf")
        env = {**os.environ, "LC_ALL": "C", **({"SLURM_CONF": conf} if conf else {})}
        try:
            done = subprocess.run(
                [self.scontrol, "show", *words],
                env=env,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def wrong(self) -> str | None:
        said = self.ask("config")
        if said is None:
            return None
        name = next(iter(re.findall(r"(?m)^ClusterName\s*=\s*(\S+)", said)), "")
        wanted = self.cluster.get("slurm_cluster") or self.cluster["id"]
        if name != wanted:
            return (
                f"Slurm calls the cluster {name}: take that as its id, or say slurm_cluster: {name}"
                " if the id is to be another name (the portal then finds no accounts there)"
            )
        return self.wrong_partition()

    def wrong_partition(self) -> str | None:
        partition = self.cluster.get("partition")
        if not partition:
            return None
        said = self.ask("--oneliner", "partition", partition)
        if said is None:
            return f"Slurm has no partition {partition}"
        limit = seconds(next(iter(re.findall(r"\bMaxTime=(\S+)", said)), "UNLIMITED"))
        wanted = float(self.cluster.get("wall_time", 6)) * 3600
        if limit is not None and wanted > limit:
            return (
                f"wall_time is {wanted / 3600:g} h, and the partition {partition} allows"
                f" {limit / 3600:g} h: jobs would wait for ever"
            )
        return None


def seconds(text: str) -> int | None:
    """A time limit as Slurm writes it, DAYS-HOURS:MINUTES:SECONDS; None is no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def wrong_files(directory: Path, ours: set[str]) -> Iterator[str]:
    """Files of clusters that others wrote, and that the portal would pass over."""
    ruby = next((path for path in RUBIES if os.access(path, os.X_OK)), None)
    files = [str(path) for path in sorted(directory.glob("*.y*ml")) if path.name not in ours]
    if ruby is None or not files:
        return
    done = subprocess.run(
        [ruby, "-e", READ_YAML, *files], capture_output=True, text=True, timeout=60, check=False
    )
    for line in done.stdout.splitlines():
        yield f"The portal cannot read {line}. Mend or remove that file."


def wrong_apps(asked: dict[str, Any]) -> Iterator[str]:
    known = asked["known"]
    names = [app["name"] for app in asked["installed"]]
    for what, found in (
        ("ood_apps_installed", names),
        ("ood_apps_overrides", list(asked["overrides"])),
        (
            "apps of clusters",
            [app for cluster in asked["clusters"] for app in cluster.get("apps") or []],
        ),
    ):
        for name in found:
            if name not in known:
                yield f"{what} has {name}: there are {', '.join(known)}."
    for app in asked["installed"]:
        group = app.get("group") or ""
        if group and not is_group(group):
            yield (
                f"The group {group} of the app {app['name']} is not known on the portal: nobody"
                " could see it."
            )
    for app, forms in asked["overrides"].items():
        for name in forms:
            if not re.fullmatch(r"[a-z0-9_]+", name):
                yield (
                    f"ood_apps_overrides has {name} for {app}: such a name has small letters,"
                    " digits and _."
                )


def wrong_clusters(asked: dict[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for cluster in asked["clusters"]:
        if cluster["id"] in seen:
            yield f"There are two clusters {cluster['id']}."
        seen.add(cluster["id"])
        reasons = [check(cluster) for check in CHECKS]
        if asked["ask"]:
            reasons.append(Slurm(cluster).wrong())
        for reason in filter(None, reasons):
            yield f"Cluster {cluster['id']}: {reason}."


def unknown(asked: dict[str, Any]) -> Iterator[str]:
    for cluster in asked["clusters"]:
        if asked["ask"] and Slurm(cluster).ask("config") is None:
            yield (
                f"Slurm could not be asked about the cluster {cluster['id']} from here; see"
                " yourself that its ClusterName is that."
            )


def main() -> None:
    asked = json.load(sys.stdin)
    ours = {f"{cluster['id']}.yml" for cluster in asked["clusters"]}
    wrong = [
        *wrong_apps(asked),
        *wrong_clusters(asked),
        *wrong_files(Path(asked["directory"]), ours),
    ]
    print(json.dumps({"wrong": wrong, "unknown": list(unknown(asked))}))


if __name__ == "__main__":
    main()
