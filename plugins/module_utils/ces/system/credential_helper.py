# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that keep logins (https://github.com/docker/docker-credential-helpers)."""

from __future__ import annotations

import json

from ..errors import CesError, Interrupted
from ..values.command import Command
from ..values.spec import Credentials
from .account import Account
from .process import Process, Streams

_TIME = 30.0
"""Seconds that a credential helper may take."""
_NO_LOGIN = "credentials not found"
"""What a credential helper says that has no login for a registry."""
_IDENTITY = "<token>"
"""The user that a credential helper names when its secret is an identity token."""


def login_by_helper(
    name: str, file: str, registry: str, account: Account, process: Process
) -> Credentials | None:
    """What ``docker-credential-NAME`` has for a registry; None if it has no login for it.

    :param file: which file names the helper.
    :raises CesError: there is no such program, or it gives no answer.
    """
    program = f"docker-credential-{name}"
    tried = f"ask {program}, which {file} names, for the login to {registry}"
    if "/" in name or not account.has_program(program):
        raise CesError(
            tried,
            said=f"PATH leads to no such program: it is {account.engine_environ['PATH']}",
            hint="sign in with podman login, or give --username with --password-stdin",
        )
    streams = Streams(timeout=_TIME, interruptible=True)
    finished = process.run(Command((program, "get"), stdin=registry), streams)
    if finished.stopped_by == "timeout":
        raise CesError(tried, said=f"it did not answer within {_TIME:g} s")
    if finished.stopped_by:
        raise Interrupted(tried, finished.stopped_by)
    if not finished.ok and _NO_LOGIN in finished.stdout.lower():
        return None
    # what it says is not repeated: it may hold a secret
    try:
        answer = json.loads(finished.stdout if finished.ok else "{}")
        user, secret = answer["Username"], answer["Secret"]
    except (KeyError, TypeError, ValueError, RecursionError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise CesError(
            tried,
            said=f"it exited with {finished.rc} and gave no login",
            hint=f"try it: echo {registry} | {program} get",
        )
    if user == _IDENTITY:
        return Credentials(identity_token=secret)
    return Credentials(user, secret)
