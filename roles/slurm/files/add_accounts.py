# SPDX-License-Identifier: GPL-3.0-or-later
"""Add the accounts and their users that Slurm's accounting lacks. None is removed.

Run as root: ``python3 add_accounts.py compare|add CLUSTER`` with a JSON list of accounts (``name``,
``users``) on standard input; prints a JSON list of what was, or would be, added.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

NAME = re.compile(r"[a-z_][a-z0-9_.-]*\$?", re.IGNORECASE)


class Failed(Exception):
    """sacctmgr did not do what it should, and what it said."""


def sacctmgr(*words: str) -> str:
    argv = ("sacctmgr", *words)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip() or f"status {done.returncode}"
        raise Failed(f"{' '.join(argv)}: {said}")
    return done.stdout


def rows(*words: str) -> set[tuple[str, ...]]:
    answer = sacctmgr("--noheader", "--parsable2", "show", *words)
    return {tuple(line.split("|")) for line in answer.splitlines()}


def checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise Failed(f"slurm_accounts: {name!r} is no name of an account or a user")
    return name


def missing(cluster: str, accounts: list[dict[str, Any]]) -> list[list[str]]:
    """The words for sacctmgr, in the order in which they must be said."""
    words = []
    if (cluster,) not in rows("cluster", "format=cluster"):
        words.append(["cluster", cluster])
    there = rows("associations", "format=account,user", f"cluster={cluster}")
    for account in accounts:
        name = checked(account["name"]).lower()
        if (name, "") not in there:
            words.append(["account", name, f"cluster={cluster}"])
        for user in map(checked, account.get("users", [])):
            if (name, user) not in there:
                words.append(["user", user, f"account={name}", f"cluster={cluster}"])
    return words


def add(words: list[str], cluster: str, accounts: list[dict[str, Any]]) -> None:
    """Add what is missing. Slurm's controller, say, adds its cluster itself, at any moment."""
    try:
        sacctmgr("--immediate", "add", *words)
    except Failed:
        if words in missing(cluster, accounts):
            raise


def main(mode: str, cluster: str) -> None:
    accounts = json.load(sys.stdin)
    lacking = missing(cluster, accounts)
    if mode == "add":
        for words in lacking:
            add(words, cluster, accounts)
    print(json.dumps(lacking))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except Failed as failure:
        sys.exit(str(failure))
